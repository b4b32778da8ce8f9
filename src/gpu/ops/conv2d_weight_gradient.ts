/** The weight gradient in two stages: slices of rows summed in registers, then the slices in order. */
import {
  channelQuads,
  type ImageLayout,
  type LaneWeightGradient,
  laneWeightGradientSource,
  laneWindow,
  tileCounts,
  tileQuads,
  type WeightGradient,
  weightGradientSource,
  type WeightTile,
  wgsl,
} from "../../wgsl/mod.ts";
import type { Candidate, ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "../graph/kernel.ts";
import { type Conv2dProblem, largestDivisor, parameterBinding } from "./conv2d_problem.ts";

interface WeightGradientBuffers {
  readonly input: ImageBuffer;
  readonly dOutput: ImageBuffer;
  readonly dWeight: ParameterRange;
}

/** The forms of a gradient whose groups fill channel quads, the fastest by the cost model first. */
export function weightGradientCandidates(
  problem: Conv2dProblem,
  io: WeightGradientBuffers,
  target: Target,
): Candidate[] {
  const lanes = laneWeightGradient(problem, io, target);
  const gradients = [...(lanes ? [lanes] : []), weightGradient(problem, io, target)];
  return gradients.map((gradient) => ({
    name: gradientName(gradient),
    lower: (memory) => weightGradientKernels(problem, io, { gradient, memory }),
  }));
}

/** Tap rows x input channels x output channels, and for lanes the patch that is summed at once. */
function gradientName(gradient: WeightGradient | LaneWeightGradient): string {
  const { tapRows, inputQuads, outputQuads } = gradient.tile;
  const tile = `${tapRows}x${inputQuads * 4}x${outputQuads * 4}`;
  return "lanes" in gradient ? `lanes ${tile} of ${gradient.patch.height}x${gradient.patch.width}` : `rows ${tile}`;
}

function weightGradientKernels(
  problem: Conv2dProblem,
  { input, dOutput, dWeight }: WeightGradientBuffers,
  { gradient, memory }: {
    readonly gradient: WeightGradient | LaneWeightGradient;
    readonly memory: ScratchAllocator;
  },
): Kernel[] {
  const { kernelHeight, kernelWidth, outputHeight, groups, inputChannels, outputChannels } = problem;
  const { tiles, inputTiles, outputTiles, tapTiles } = tileCounts(gradient);
  const size = tileQuads(gradient);
  const partials = memory.scratch("conv2d_backward_weight partials", tiles * gradient.slices * size * 16);
  const label = `conv2d_backward_weight ${kernelHeight}x${kernelWidth} ` +
    `${inputChannels}->${outputChannels} at ${outputHeight}x${problem.outputWidth}`;
  return [{
    label,
    code: "lanes" in gradient ? laneWeightGradientSource(gradient) : weightGradientSource(gradient),
    bindings: [
      { buffer: input.buffer, access: "read" },
      { buffer: dOutput.buffer, access: "read" },
      { buffer: partials, access: "read_write" },
    ],
    workgroups: ["lanes" in gradient ? gradient.slices : Math.ceil(gradient.slices / 16), tiles, 1],
  }, {
    label: `${label} reduce`,
    code: wgsl.weightGradientReduce,
    constants: {
      OUT: outputChannels,
      IN: inputChannels,
      GROUPS: groups,
      KERNEL_HEIGHT: kernelHeight,
      KERNEL_WIDTH: kernelWidth,
      TAP_ROWS: gradient.tile.tapRows,
      IN_QUADS: gradient.tile.inputQuads,
      OUT_QUADS: gradient.tile.outputQuads,
      TAP_TILES: tapTiles,
      OUT_TILES: outputTiles,
      IN_TILES: inputTiles,
      SLICES: gradient.slices,
    },
    bindings: [{ buffer: partials, access: "read" }, parameterBinding(dWeight, "read_write")],
    workgroups: [Math.ceil(size / 16), tiles, 1],
  }];
}

/** Picks the tile of the weight gradient and how many slices fill the adapter. */
function weightGradient(
  problem: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  target: Target,
): WeightGradient {
  const { batch, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding, groups } = problem;
  const tile = weightTile(problem, { input, dOutput }, target);
  const sizes = { input, dOutput, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding, groups, tile };
  const rows = batch * outputHeight;
  const { tiles } = tileCounts(sizes);
  const invocations = target.software ? 512 : 16384;
  // The partial sums of all slices are one binding.
  const bindable = Math.max(1, Math.floor(target.maxStorageBindingBytes / (tiles * tileQuads(sizes) * 16)));
  const filling = Math.max(16, Math.ceil(invocations / tiles / 16) * 16);
  const wanted = Math.min(rows, bindable, filling);
  const rowsPerSlice = Math.ceil(rows / wanted);
  return { ...sizes, rows, rowsPerSlice, slices: Math.ceil(rows / rowsPerSlice) };
}

function weightTile(
  { kernelHeight, kernelWidth, groups }: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  { software }: Target,
): WeightTile {
  const inputQuads = channelQuads(input) / groups;
  const outputQuads = channelQuads(dOutput) / groups;
  if (!software) return { tapRows: 1, inputQuads: 1, outputQuads: 1 };
  const tapRows = largestDivisor(kernelHeight, Math.max(1, Math.floor(9 / kernelWidth)));
  const taps = tapRows * kernelWidth;
  if (taps <= 2) {
    return { tapRows, inputQuads: largestDivisor(inputQuads, 4), outputQuads: largestDivisor(outputQuads, 4) };
  }
  return { tapRows, inputQuads: 1, outputQuads: largestDivisor(outputQuads, 2) };
}

/** Nanoseconds on lavapipe at 512 bits, for one subgroup; their ratios pick the form. */
const LANE_COSTS = { inputLoad: 90, gradientLoad: { 1: 45, 2: 60, 4: 90 }, multiplyAdd: 0.36 } as const;

/** Multiply-adds of straight-line code, beyond which compilation takes seconds; sums beyond which they leave the L1 cache. */
const MAX_BODY = 4700;
const MAX_SUMS = 288;

/** The lane form with the least estimated time a multiply-add; undefined where lanes would lie idle. */
function laneWeightGradient(
  problem: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  target: Target,
): LaneWeightGradient | undefined {
  const lanes = target.subgroupSize;
  if (!target.software || lanes === 0) return undefined;
  const { batch, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding, groups } = problem;
  const inputQuads = channelQuads(input) / groups;
  const outputs = channelQuads(dOutput) * 4 / groups;
  let best: { form: Pick<LaneWeightGradient, "tile" | "laneChannels" | "patch">; cost: number } | undefined;
  for (const laneChannels of [1, 2, 4] as const) {
    if (outputs % (lanes * laneChannels) !== 0) continue;
    for (const tapRows of divisors(kernelHeight)) {
      for (const quads of divisors(inputQuads)) {
        const sums = tapRows * kernelWidth * quads * 4 * laneChannels;
        if (sums > MAX_SUMS) continue;
        for (let height = 1; height <= Math.min(outputHeight, 16); height++) {
          for (let width = 1; width <= Math.min(outputWidth, 32); width++) {
            const body = height * width * sums;
            if (body > MAX_BODY || height * width > 64) continue;
            const rows = laneWindow({ offsets: indices(tapRows), extent: height, step: stride });
            const columns = laneWindow({ offsets: indices(kernelWidth), extent: width, step: stride });
            if (!rows || !columns) continue;
            const time = Math.ceil(rows.count * columns.count / lanes) * quads * LANE_COSTS.inputLoad +
              height * width * LANE_COSTS.gradientLoad[laneChannels] + body * LANE_COSTS.multiplyAdd;
            const patches = Math.ceil(outputHeight / height) * Math.ceil(outputWidth / width);
            const cost = patches * time / sums;
            const tile = { tapRows, inputQuads: quads, outputQuads: lanes * laneChannels / 4 };
            if (!best || cost < best.cost) best = { form: { tile, laneChannels, patch: { height, width } }, cost };
          }
        }
      }
    }
  }
  if (!best) return undefined;
  const { form } = best;
  const sizes = {
    input,
    dOutput,
    outputHeight,
    outputWidth,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
    groups,
    batch,
  };
  const { tiles } = tileCounts({ ...sizes, ...form });
  const patches = batch * Math.ceil(outputHeight / form.patch.height) * Math.ceil(outputWidth / form.patch.width);
  // The partial sums of all slices are one binding.
  const bindable = Math.max(
    1,
    Math.floor(target.maxStorageBindingBytes / (tiles * tileQuads({ ...sizes, ...form }) * 16)),
  );
  const slices = Math.min(patches, bindable, Math.max(2, Math.ceil(64 / tiles)));
  return { ...sizes, ...form, lanes, slices };
}

function divisors(count: number): number[] {
  return indices(count).map((i) => i + 1).filter((divisor) => count % divisor === 0);
}

function indices(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
