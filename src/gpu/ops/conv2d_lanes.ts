/** Forward convolutions and input gradients with output channels spread over the lanes of a subgroup. */
import { channelQuads, lanePartQuads, laneSource, type LaneTile, laneWindow, wgsl } from "../../wgsl/mod.ts";
import type { Binding, Candidate, Kernel, ScratchAllocator, Target } from "../graph/kernel.ts";
import { cheapest, type Costed } from "./cheapest.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";
import { type Axis, packConstants, tapsConvolution, type TapsRequest } from "./conv2d_taps.ts";

/** Nanoseconds on lavapipe at 512 bits, for one subgroup; their ratios pick the tile. */
const COSTS = { storageLoad: 88, uniformLoad: 25, multiplyAdd: 0.36, store: { 1: 41, 2: 55, 4: 80 } } as const;

/** Multiply-adds of straight-line code, beyond which compilation takes seconds; sums beyond which they leave the L1 cache. */
const MAX_BODY = 4700;
const MAX_SUMS = 128;

/** Uniforms of weights; a stage has at least 12. */
const MAX_PARTS = 9;

const CANDIDATES = 3;

interface LaneForm {
  readonly tile: LaneTile;
  /** Uniforms that hold the weights of a block, and the size of one. */
  readonly parts: number;
  readonly partQuads: number;
}

/** Whether there are forms by lanes of a forward convolution. */
export function lanesServe(problem: Conv2dProblem, target: Target): boolean {
  const { groups, inputChannels, outputChannels, kernelHeight, kernelWidth, batch } = problem;
  const lanes = target.subgroupSize;
  if (!target.software || lanes === 0 || outputChannels / groups % lanes !== 0) return false;
  const [dy, dx] = [range(1, kernelHeight), range(1, kernelWidth)];
  const inputQuads = Math.ceil(inputChannels / groups / 4);
  const parts = uniformParts({ dy, dx, inputQuads, lanes, tile: { channels: 1 } }, target);
  return parts !== undefined && 4 * dy.length * dx.length <= MAX_BODY && batch <= target.maxWorkgroupsPerDimension;
}

/** None where lanes would lie idle. */
export function laneCandidates(problem: Conv2dProblem, request: TapsRequest, target: Target): Candidate[] {
  if (!target.software || target.subgroupSize === 0) return [];
  return cheapest(laneForms(problem, request, target), CANDIDATES).map((form) => {
    const { height, width, channels } = form.tile;
    return {
      name: `lanes ${height}x${width}x${channels}`,
      lower: (memory) => laneKernels(problem, request, { form, target, memory }),
    };
  });
}

/** Packs the weights, then one dispatch for each block of output channels. */
function laneKernels(
  problem: Conv2dProblem,
  request: TapsRequest,
  { form, target, memory }: { readonly form: LaneForm; readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  const { tile, parts, partQuads } = form;
  const { read, write, weight, rows, columns, epilogue, prologue } = request;
  const { groups, batch } = problem;
  const lanes = target.subgroupSize;
  const inputQuads = channelQuads(read) / groups;
  const blocksAGroup = channelQuads(write) * 4 / groups / (lanes * tile.channels);
  const blocks = groups * blocksAGroup;
  const strideBytes = Math.ceil(partQuads / 16) * 256;
  const packed = memory.packed(`${request.label} weights`, blocks * parts * strideBytes);
  const { code, tiles } = laneSource({
    ...tapsConvolution(request),
    phaseY: rows.phases,
    phaseX: columns.phases,
    inputQuads,
    lanes,
    tile,
    parts,
    prologue,
  });
  const pack: Kernel = {
    label: "conv2d pack lanes",
    code: wgsl.packLanes,
    constants: {
      ...packConstants(problem, request),
      INPUT_QUADS: inputQuads,
      LANES: lanes,
      LANE_CHANNELS: tile.channels,
      BLOCKS_A_GROUP: blocksAGroup,
      PARTS: parts,
      PART_TAPS: Math.ceil(rows.taps.length * columns.taps.length / parts),
      STRIDE: strideBytes / 16,
    },
    bindings: [parameterBinding(weight, "read"), { buffer: packed, access: "read_write" }],
    workgroups: [Math.ceil(partQuads / 64), blocks * parts, 1],
    parametersOnly: true,
  };
  const dispatches = Array.from({ length: blocks }, (_, block): Kernel => ({
    label: `${request.label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`,
    code,
    bindings: [
      { buffer: read.buffer, access: "read" },
      { buffer: write.buffer, access: "read_write" },
      ...Array.from({ length: parts }, (_, part): Binding => {
        return {
          buffer: packed,
          access: "uniform",
          offset: (block * parts + part) * strideBytes,
          size: partQuads * 16,
        };
      }),
      ...(epilogue?.bindings ?? []),
      ...(prologue?.bindings ?? []),
    ],
    workgroups: [tiles, batch, 1],
  }));
  return [pack, ...dispatches];
}

/** Every tile that fits, with its estimated time an output. */
function* laneForms(
  { groups, batch }: Conv2dProblem,
  { read, write, rows, columns, inputStep }: TapsRequest,
  target: Target,
): Generator<LaneForm & Costed> {
  const lanes = target.subgroupSize;
  const inputQuads = channelQuads(read) / groups;
  const writes = channelQuads(write) * 4 / groups;
  const taps = rows.taps.length * columns.taps.length;
  if (taps === 0 || batch > target.maxWorkgroupsPerDimension) return;
  const windows = ({ count, taps }: Axis, limit: number) =>
    range(1, Math.min(count, limit)).map((extent) => laneWindow({ offsets: taps, extent, step: inputStep }));
  const outputs = new Set(rows.phases ?? [0]).size * new Set(columns.phases ?? [0]).size;
  const [rowWindows, columnWindows] = [windows(rows, 16), windows(columns, 32)];
  for (const channels of [1, 2, 4] as const) {
    if (writes % (lanes * channels) !== 0) continue;
    const form = { dy: rows.taps, dx: columns.taps, inputQuads, lanes, tile: { channels } };
    const parts = uniformParts(form, target);
    if (parts === undefined) continue;
    const partQuads = lanePartQuads({ ...form, parts });
    for (let height = 1; height <= rowWindows.length; height++) {
      for (let width = 1; width <= columnWindows.length; width++) {
        const pixels = height * width;
        const body = pixels * channels * 4 * taps;
        if (pixels * outputs * channels > MAX_SUMS || body > MAX_BODY) continue;
        const [windowRows, windowColumns] = [rowWindows[height - 1], columnWindows[width - 1]];
        if (!windowRows || !windowColumns) continue;
        const loads = Math.ceil(windowRows.count * windowColumns.count / lanes) * COSTS.storageLoad +
          taps * channels * COSTS.uniformLoad;
        const tiles = Math.ceil(rows.count / height) * Math.ceil(columns.count / width);
        const time = inputQuads * (loads + body * COSTS.multiplyAdd) +
          pixels * COSTS.store[channels];
        const cost = tiles * time / channels;
        yield { tile: { height, width, channels }, parts, partQuads, cost, shape: `${pixels}x${channels}` };
      }
    }
  }
}

/** The fewest uniforms that hold the weights of a block; undefined where there are not enough. */
function uniformParts(
  form: Omit<Parameters<typeof lanePartQuads>[0], "parts">,
  target: Target,
): number | undefined {
  return range(1, Math.min(form.dy.length * form.dx.length, MAX_PARTS)).find((parts) =>
    lanePartQuads({ ...form, parts }) * 16 <= target.maxUniformBindingBytes
  );
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
