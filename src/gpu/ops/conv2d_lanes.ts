/** Forward convolutions and input gradients with output channels spread over the lanes of a subgroup. */
import { channelQuads, laneBlockQuads, laneSource, type LaneTile, laneWindow, wgsl } from "../../wgsl/mod.ts";
import type { Candidate, Kernel, ScratchAllocator, Target } from "../graph/kernel.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";
import type { StripRequest } from "./conv2d_strip.ts";

/** Nanoseconds on lavapipe at 512 bits, for one subgroup; their ratios pick the tile. */
const COSTS = { storageLoad: 90, uniformLoad: 25, multiplyAdd: 0.36, store: { 1: 41, 2: 55, 4: 80 } } as const;

/** Multiply-adds of straight-line code, beyond which compilation takes seconds. */
const MAX_BODY = 4700;

const MIN_TAPS = 6;

interface LaneForm {
  readonly tile: LaneTile;
  readonly weights: "uniform" | "storage";
  readonly blockQuads: number;
}

/** None where lanes would lie idle. */
export function laneCandidates(problem: Conv2dProblem, request: StripRequest, target: Target): Candidate[] {
  const form = target.software && target.subgroupSize > 0 ? laneForm(problem, request, target) : undefined;
  if (!form) return [];
  const { height, width, channels } = form.tile;
  return [{
    name: `lanes ${height}x${width}x${channels}`,
    lower: (memory) => laneKernels(problem, request, { form, target, memory }),
  }];
}

/** Packs the weights, then one dispatch for each block of output channels. */
function laneKernels(
  problem: Conv2dProblem,
  request: StripRequest,
  { form, target, memory }: { readonly form: LaneForm; readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  const { tile, weights, blockQuads } = form;
  const { read, write, weight, rows, columns, epilogue } = request;
  const { groups, batch, kernelHeight, kernelWidth } = problem;
  const lanes = target.subgroupSize;
  const inputQuads = channelQuads(read) / groups;
  const blocksAGroup = channelQuads(write) * 4 / groups / (lanes * tile.channels);
  const blocks = groups * blocksAGroup;
  const strideBytes = Math.ceil(blockQuads / 16) * 256;
  const packed = memory.packed(`${request.label} weights`, blocks * strideBytes);
  const { code, tiles } = laneSource({
    input: read,
    output: write,
    rows: rows.count,
    columns: columns.count,
    inputStep: request.inputStep,
    outputStep: rows.step,
    outputY: rows.start,
    outputX: columns.start,
    dy: rows.taps,
    dx: columns.taps,
    inputQuads,
    lanes,
    tile,
    weights,
    epilogue,
  });
  const pack: Kernel = {
    label: "conv2d pack lanes",
    code: wgsl.packLanes,
    constants: {
      OUT: problem.outputChannels,
      IN: problem.inputChannels,
      GROUPS: groups,
      KERNEL_HEIGHT: kernelHeight,
      KERNEL_WIDTH: kernelWidth,
      TRANSPOSED: request.transposed ? 1 : 0,
      TAP_ROWS: rows.taps.length,
      TAP_COLUMNS: columns.taps.length,
      KY_START: rows.first,
      KY_STEP: rows.tapStep,
      KX_START: columns.first,
      KX_STEP: columns.tapStep,
      INPUT_QUADS: inputQuads,
      LANES: lanes,
      LANE_CHANNELS: tile.channels,
      BLOCKS_A_GROUP: blocksAGroup,
      BLOCKS: blocks,
      STRIDE: strideBytes / 16,
    },
    bindings: [parameterBinding(weight, "read"), { buffer: packed, access: "read_write" }],
    workgroups: [Math.ceil(blockQuads / 64), blocks, 1],
    parametersOnly: true,
  };
  const dispatches = Array.from({ length: blocks }, (_, block): Kernel => ({
    label: `${request.label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`,
    code,
    bindings: [
      { buffer: read.buffer, access: "read" },
      {
        buffer: packed,
        access: weights === "uniform" ? "uniform" : "read",
        offset: block * strideBytes,
        size: blockQuads * 16,
      },
      { buffer: write.buffer, access: "read_write" },
      ...(epilogue?.bindings ?? []),
    ],
    workgroups: [tiles, batch, 1],
  }));
  return [pack, ...dispatches];
}

/** The form with the least estimated time an output; undefined where no tile fits. */
function laneForm(
  { groups, batch }: Conv2dProblem,
  { read, write, rows, columns, inputStep }: StripRequest,
  target: Target,
): LaneForm | undefined {
  const lanes = target.subgroupSize;
  const inputQuads = channelQuads(read) / groups;
  const writes = channelQuads(write) * 4 / groups;
  const taps = rows.taps.length * columns.taps.length;
  // Few taps use too little of what is broadcast: strips are faster there.
  if (taps < MIN_TAPS || batch > target.maxWorkgroupsPerDimension) return undefined;
  let best: (LaneForm & { readonly cost: number }) | undefined;
  for (const channels of [1, 2, 4] as const) {
    if (writes % (lanes * channels) !== 0) continue;
    for (let height = 1; height <= Math.min(rows.count, 16); height++) {
      for (let width = 1; width <= Math.min(columns.count, 32); width++) {
        const pixels = height * width;
        const body = pixels * channels * 4 * taps;
        if (pixels * channels > 256 || pixels > 128 || body > MAX_BODY) continue;
        const windowRows = laneWindow({ offsets: rows.taps, extent: height, step: inputStep });
        const windowColumns = laneWindow({ offsets: columns.taps, extent: width, step: inputStep });
        if (!windowRows || !windowColumns) continue;
        const tile = { height, width, channels };
        const blockQuads = laneBlockQuads({ dy: rows.taps, dx: columns.taps, inputQuads, lanes, tile });
        const uniform = blockQuads * 16 <= target.maxUniformBindingBytes;
        const loads = Math.ceil(windowRows.count * windowColumns.count / lanes) * COSTS.storageLoad +
          taps * channels * (uniform ? COSTS.uniformLoad : COSTS.storageLoad);
        const tiles = Math.ceil(rows.count / height) * Math.ceil(columns.count / width);
        const time = inputQuads * (loads + body * COSTS.multiplyAdd) + pixels * COSTS.store[channels];
        const cost = tiles * time / channels;
        if (!best || cost < best.cost) best = { tile, weights: uniform ? "uniform" : "storage", blockQuads, cost };
      }
    }
  }
  return best;
}
