/** The weight gradient in two stages: slices of rows summed in registers, then the slices in order. */
import {
  channelQuads,
  type ColumnWeightGradient,
  columnWeightGradientSource,
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
import { cheapest, type Costed } from "./cheapest.ts";
import { columnWeightGradients } from "./conv2d_columns.ts";
import { type BoundPrologue, type Conv2dProblem, largestDivisor, parameterBinding } from "./conv2d_problem.ts";

interface WeightGradientBuffers {
  readonly input: ImageBuffer;
  readonly dOutput: ImageBuffer;
  readonly dWeight: ParameterRange;
  /** Only forms by lanes serve it. */
  readonly prologue?: BoundPrologue;
}

/** The forms of a gradient whose groups fill channel quads, the fastest by the cost model first. */
export function weightGradientCandidates(
  problem: Conv2dProblem,
  io: WeightGradientBuffers,
  target: Target,
): Candidate[] {
  const lanes = laneWeightGradients(problem, io, target);
  const columns = io.prologue ? [] : columnWeightGradients(problem, io, target);
  const rows = io.prologue
    ? []
    : weightTiles(problem, io, target).map((tile) => weightGradient(problem, io, { tile, target }));
  // Lanes with a quad of channels each load the gradient as well, and hold fewer sums.
  const quadsFillLanes = channelQuads(io.dOutput) % target.subgroupSize === 0;
  const gradients = [...(quadsFillLanes ? [...lanes, ...columns] : [...columns, ...lanes]), ...rows];
  const candidates = gradients.map((gradient): Candidate => ({
    name: gradientName(gradient),
    lower: (memory) => weightGradientKernels(problem, io, { gradient, memory }),
  }));
  // Few channels make several tiles the same.
  return candidates.filter(({ name }, i) => candidates.findIndex((other) => other.name === name) === i);
}

type Gradient = WeightGradient | LaneWeightGradient | ColumnWeightGradient;

/** Tap rows x input channels x output channels, and the patch or the columns that are summed at once. */
function gradientName(gradient: Gradient): string {
  const { tapRows, inputQuads, outputQuads } = gradient.tile;
  const tile = `${tapRows}x${inputQuads * 4}x${outputQuads * 4}`;
  if ("lanes" in gradient) return `lanes ${tile} of ${gradient.patch.height}x${gradient.patch.width}`;
  return "images" in gradient ? `columns ${tile} of ${gradient.width}` : `rows ${tile}`;
}

function gradientSource(gradient: Gradient, prologue?: BoundPrologue): string {
  if ("lanes" in gradient) return laneWeightGradientSource({ ...gradient, prologue });
  return "images" in gradient ? columnWeightGradientSource(gradient) : weightGradientSource(gradient);
}

function weightGradientKernels(
  problem: Conv2dProblem,
  { input, dOutput, dWeight, prologue }: WeightGradientBuffers,
  { gradient, memory }: {
    readonly gradient: Gradient;
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
    code: gradientSource(gradient, prologue),
    bindings: [
      { buffer: input.buffer, access: "read" },
      { buffer: dOutput.buffer, access: "read" },
      { buffer: partials, access: "read_write" },
      ...(prologue?.bindings ?? []),
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

/** As many slices of rows as fill the adapter. */
function weightGradient(
  problem: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  { tile, target }: { readonly tile: WeightTile; readonly target: Target },
): WeightGradient {
  const { batch, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding, groups } = problem;
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

/** Tiles worth trying, the best guess first. */
function weightTiles(
  { kernelHeight, kernelWidth, groups }: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  { software }: Target,
): WeightTile[] {
  const inputQuads = channelQuads(input) / groups;
  const outputQuads = channelQuads(dOutput) / groups;
  const tile = (tapRows: number, inputs: number, outputs: number): WeightTile => ({
    tapRows,
    inputQuads: largestDivisor(inputQuads, inputs),
    outputQuads: largestDivisor(outputQuads, outputs),
  });
  const tapRows = largestDivisor(kernelHeight, Math.max(1, Math.floor(9 / kernelWidth)));
  const isSmall = tapRows * kernelWidth <= 2;
  if (software) return isSmall ? [tile(tapRows, 4, 4), tile(tapRows, 2, 4)] : [tile(tapRows, 1, 2), tile(1, 2, 2)];
  return isSmall ? [tile(1, 1, 1), tile(1, 1, 2), tile(1, 2, 2)] : [tile(1, 1, 1), tile(1, 1, 2), tile(tapRows, 1, 1)];
}

/** Nanoseconds on lavapipe at 512 bits, for one subgroup; their ratios pick the form. */
const LANE_COSTS = { inputLoad: 90, gradientLoad: { 1: 45, 2: 60, 4: 90 }, multiplyAdd: 0.36 } as const;

/** Multiply-adds of straight-line code, beyond which compilation takes seconds; sums beyond which they leave the L1 cache. */
const MAX_BODY = 4700;
const MAX_SUMS = 288;

const LANE_CANDIDATES = 3;

type LaneForm = Pick<LaneWeightGradient, "tile" | "laneChannels" | "patch">;

/** None where lanes would lie idle. */
function laneWeightGradients(
  problem: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  target: Target,
): LaneWeightGradient[] {
  if (!target.software || target.subgroupSize === 0) return [];
  const { batch, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding, groups } = problem;
  const images = { input, dOutput, outputHeight, outputWidth };
  const sizes = { ...images, kernelHeight, kernelWidth, stride, padding, groups, batch };
  const forms = laneForms(problem, { input, dOutput }, target.subgroupSize);
  return cheapest(forms, LANE_CANDIDATES).map(({ tile, laneChannels, patch }) => {
    const form = { ...sizes, tile, laneChannels, patch };
    const { tiles } = tileCounts(form);
    const patches = batch * Math.ceil(outputHeight / patch.height) * Math.ceil(outputWidth / patch.width);
    // The partial sums of all slices are one binding.
    const bindable = Math.max(1, Math.floor(target.maxStorageBindingBytes / (tiles * tileQuads(form) * 16)));
    const slices = Math.min(patches, bindable, Math.max(2, Math.ceil(64 / tiles)));
    return { ...form, lanes: target.subgroupSize, slices };
  });
}

/** Every form that fits, with its estimated time a multiply-add. */
function* laneForms(
  { outputHeight, outputWidth, kernelHeight, kernelWidth, stride, groups }: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  lanes: number,
): Generator<LaneForm & Costed> {
  const inputQuads = channelQuads(input) / groups;
  const outputs = channelQuads(dOutput) * 4 / groups;
  const windows = (extents: number, taps: number) =>
    indices(extents).map((i) => laneWindow({ offsets: indices(taps), extent: i + 1, step: stride }));
  const columnWindows = windows(Math.min(outputWidth, 32), kernelWidth);
  for (const laneChannels of [1, 2, 4] as const) {
    if (outputs % (lanes * laneChannels) !== 0) continue;
    for (const tapRows of divisors(kernelHeight)) {
      const rowWindows = windows(Math.min(outputHeight, 16), tapRows);
      for (const quads of divisors(inputQuads)) {
        const sums = tapRows * kernelWidth * quads * 4 * laneChannels;
        if (sums > MAX_SUMS) continue;
        for (let height = 1; height <= rowWindows.length; height++) {
          for (let width = 1; width <= columnWindows.length; width++) {
            const body = height * width * sums;
            if (body > MAX_BODY || height * width > 64) continue;
            const [rows, columns] = [rowWindows[height - 1], columnWindows[width - 1]];
            if (!rows || !columns) continue;
            const time = Math.ceil(rows.count * columns.count / lanes) * quads * LANE_COSTS.inputLoad +
              height * width * LANE_COSTS.gradientLoad[laneChannels] + body * LANE_COSTS.multiplyAdd;
            const patches = Math.ceil(outputHeight / height) * Math.ceil(outputWidth / width);
            const cost = patches * time / sums;
            const tile = { tapRows, inputQuads: quads, outputQuads: lanes * laneChannels / 4 };
            yield { tile, laneChannels, patch: { height, width }, cost, shape: `${tapRows}x${quads}x${laneChannels}` };
          }
        }
      }
    }
  }
}

function divisors(count: number): number[] {
  return indices(count).map((i) => i + 1).filter((divisor) => count % divisor === 0);
}

function indices(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
