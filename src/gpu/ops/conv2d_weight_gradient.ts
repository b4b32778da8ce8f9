/** The weight gradient in two stages: slices of rows summed in registers, then the slices in order. */
import {
  channelQuads,
  type ImageLayout,
  tileCounts,
  tileQuads,
  type WeightGradient,
  weightGradientSource,
  type WeightTile,
  wgsl,
} from "../../wgsl/mod.ts";
import type { ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "../graph/kernel.ts";
import { type Conv2dProblem, largestDivisor, parameterBinding } from "./conv2d_problem.ts";

/** Kernels of a gradient whose groups fill channel quads. */
export function weightGradientKernels(
  problem: Conv2dProblem,
  io: { readonly input: ImageBuffer; readonly dOutput: ImageBuffer; readonly dWeight: ParameterRange },
  target: Target,
  memory: ScratchAllocator,
): Kernel[] {
  const { input, dOutput, dWeight } = io;
  const { kernelHeight, kernelWidth, outputHeight, groups, inputChannels, outputChannels } = problem;
  const gradient = weightGradient(problem, { input, dOutput }, target);
  const { tiles, inputTiles, outputTiles, tapTiles } = tileCounts(gradient);
  const size = tileQuads(gradient);
  const partials = memory.scratch("conv2d_backward_weight partials", tiles * gradient.slices * size * 16);
  const label = `conv2d_backward_weight ${kernelHeight}x${kernelWidth} ` +
    `${inputChannels}->${outputChannels} at ${outputHeight}x${problem.outputWidth}`;
  return [{
    label,
    code: weightGradientSource(gradient),
    bindings: [
      { buffer: input.buffer, access: "read" },
      { buffer: dOutput.buffer, access: "read" },
      { buffer: partials, access: "read_write" },
    ],
    workgroups: [Math.ceil(gradient.slices / 16), tiles, 1],
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
  const { tiles } = tileCounts({ ...sizes, rows, rowsPerSlice: rows, slices: 1 });
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
