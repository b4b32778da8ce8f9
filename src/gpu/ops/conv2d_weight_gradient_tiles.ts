/** The weight gradient as a tiled matrix product over slices of the pixels, then the slices added in order. */
import {
  channelQuads,
  type GradientTile,
  gradientTileBytes,
  gradientTileThreads,
  MAX_TILE_BYTES,
  MAX_TILE_INVOCATIONS,
  quadBytes,
  tiledGradientCounts,
  type TiledWeightGradient,
  tiledWeightGradientSource,
  wgsl,
} from "../../wgsl/mod.ts";
import type { Candidate, ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "../graph/kernel.ts";
import { cheapest } from "./cheapest.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";
import { MAX_LOADS, productCycles, reductionCycles } from "./conv2d_tile_cost.ts";

const CANDIDATES = 3;

const OUTPUTS = [4, 8, 16, 32, 64, 128] as const;
/** Among them the (tap, input channel) pairs of narrow 3x3 convolutions: 36 of 4 channels, 144 of 16. */
const INPUTS = [4, 8, 16, 32, 36, 48, 64, 72, 96, 128, 144] as const;
const DEPTHS = [4, 8, 16, 32] as const;
/** Output channels by input channels of an invocation. */
const THREAD_TILES = [[8, 8], [8, 4], [4, 8], [4, 4]] as const;
/** As Mesa's compiler for AMD counts them: every load finds its pixel. */
const LOAD_INSTRUCTIONS = 16;
/** Groups side by side are worth it up to so many output channels in all. */
const MAX_GROUPED_OUTPUTS = 64;

interface GradientBuffers {
  readonly input: ImageBuffer;
  readonly dOutput: ImageBuffer;
  readonly dWeight: ParameterRange;
}

/** The tile of a weight gradient, its slices, and its name among the candidates: outputs x inputs x pixels. */
export interface TiledGradientForm {
  readonly name: string;
  readonly gradient: TiledWeightGradient;
}

/** The tiled forms of a gradient whose groups fill channel quads, best first. */
export function tiledGradientCandidates(problem: Conv2dProblem, io: GradientBuffers, target: Target): Candidate[] {
  return tiledGradientForms(problem, io, target).map(({ name, gradient }) => ({
    name,
    lower: (memory) => tiledGradientKernels(problem, io, { gradient, memory }),
  }));
}

/** The forms that should do best on a data-centre GPU, by an estimate of their time. */
export function tiledGradientForms(
  problem: Conv2dProblem,
  { input, dOutput }: Pick<GradientBuffers, "input" | "dOutput">,
  target: Target,
): TiledGradientForm[] {
  const { batch, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding, groups } = problem;
  const sizes = {
    input,
    dOutput,
    batch,
    outputHeight,
    outputWidth,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
    groups,
  };
  const forms = tilesFor(problem, { input, dOutput }).map((tile) => {
    const { sliceSteps, cost } = bestSlices({ ...sizes, tile, sliceSteps: 1 }, target);
    return { gradient: { ...sizes, tile, sliceSteps }, cost, shape: `${tile.outputs}x${tile.inputs}` };
  });
  return cheapest(forms, CANDIDATES).map(({ gradient }) => ({ name: gradientName(gradient.tile), gradient }));
}

function gradientName({ outputs, inputs, depth, groups }: GradientTile): string {
  return `tiles ${outputs}x${inputs}x${depth}${groups > 1 ? ` of ${groups} groups` : ""}`;
}

/** The tiles that fit the gradient and every adapter's limits. */
function tilesFor(
  { groups: allGroups, kernelHeight, kernelWidth }: Conv2dProblem,
  { input, dOutput }: Pick<GradientBuffers, "input" | "dOutput">,
): GradientTile[] {
  const outputsAGroup = channelQuads(dOutput) * 4 / allGroups;
  const inputsAGroup = kernelHeight * kernelWidth * channelQuads(input) * 4 / allGroups;
  const tiles: GradientTile[] = [];
  for (const outputs of OUTPUTS) {
    if (outputs >= 2 * outputsAGroup) continue;
    for (const inputs of INPUTS) {
      if (inputs >= 2 * inputsAGroup) continue;
      for (const groups of outputs === outputsAGroup ? [1, 2, 4, 8, 16] : [1]) {
        if (allGroups % groups !== 0 || (groups > 1 && groups * outputs > MAX_GROUPED_OUTPUTS)) continue;
        for (const depth of DEPTHS) {
          for (const [threadOutputs, threadInputs] of THREAD_TILES) {
            if (outputs % threadOutputs !== 0 || inputs % threadInputs !== 0) continue;
            const tile = { outputs, inputs, depth, groups, threadOutputs, threadInputs };
            const fits = gradientTileThreads(tile).threads <= MAX_TILE_INVOCATIONS &&
              gradientTileBytes(tile) <= MAX_TILE_BYTES && tileLoads(tile) <= MAX_LOADS;
            if (fits) tiles.push(tile);
          }
        }
      }
    }
  }
  return tiles;
}

/** Quads that an invocation loads in a step. */
function tileLoads(tile: GradientTile): number {
  const { threads } = gradientTileThreads(tile);
  const quads = (extent: number) => Math.ceil(tile.depth * tile.groups * extent / 4 / threads);
  return quads(tile.outputs) + quads(tile.inputs);
}

/** Slices fill the GPU, and cost the writing and adding of their partial sums, which are one binding. */
function bestSlices(gradient: TiledWeightGradient, target: Target): { sliceSteps: number; cost: number } {
  const { tile } = gradient;
  const { pixels, partialQuads } = tiledGradientCounts(gradient);
  const allSteps = Math.ceil(pixels / tile.depth);
  const bindable = Math.max(1, Math.floor(target.maxStorageBindingBytes / (partialQuads * 16)));
  let best = { sliceSteps: allSteps, cost: gradientCycles({ ...gradient, sliceSteps: allSteps }) };
  for (let wanted = 2; wanted <= Math.min(allSteps, bindable, target.maxWorkgroupsPerDimension); wanted *= 2) {
    const sliceSteps = Math.ceil(allSteps / wanted);
    const cost = gradientCycles({ ...gradient, sliceSteps });
    if (cost < best.cost) best = { sliceSteps, cost };
  }
  return best;
}

function gradientCycles(gradient: TiledWeightGradient): number {
  const { tile, input, dOutput, sliceSteps } = gradient;
  const { tiles, slices, partialQuads } = tiledGradientCounts(gradient);
  const { columns, rows, threads } = gradientTileThreads(tile);
  const product = productCycles({
    workgroups: tiles * slices,
    threads,
    steps: sliceSteps,
    multiplyAdds: tile.threadOutputs * tile.threadInputs * tile.depth,
    fragments: [
      { reads: tile.threadOutputs / 4 * tile.depth, distinct: Math.min(tile.groups * rows, Math.ceil(32 / columns)) },
      { reads: tile.threadInputs / 4 * tile.depth, distinct: Math.min(32, columns) },
    ],
    loads: tileLoads(tile),
    loadInstructions: LOAD_INSTRUCTIONS,
    loadedBytes: tile.depth * tile.groups / 4 *
      (tile.outputs * quadBytes(dOutput.elementType) + tile.inputs * quadBytes(input.elementType)),
  });
  return product + reductionCycles({ slices, bytes: partialQuads * 16 });
}

export function tiledGradientKernels(
  { kernelHeight, kernelWidth, groups, inputChannels, outputChannels, outputHeight, outputWidth }: Conv2dProblem,
  { input, dOutput, dWeight }: GradientBuffers,
  { gradient, memory }: { readonly gradient: TiledWeightGradient; readonly memory: ScratchAllocator },
): Kernel[] {
  const { tiles, slices, partialQuads } = tiledGradientCounts(gradient);
  const partials = memory.scratch("conv2d_backward_weight partials", slices * partialQuads * 16);
  const label = `conv2d_backward_weight ${kernelHeight}x${kernelWidth} ` +
    `${inputChannels}->${outputChannels} at ${outputHeight}x${outputWidth}`;
  return [{
    label,
    code: tiledWeightGradientSource(gradient),
    bindings: [
      { buffer: input.buffer, access: "read" },
      { buffer: dOutput.buffer, access: "read" },
      { buffer: partials, access: "read_write" },
    ],
    workgroups: [tiles, slices, 1],
  }, {
    label: `${label} reduce`,
    code: wgsl.weightGradientTilesReduce,
    constants: {
      OUT: outputChannels,
      IN: inputChannels,
      GROUPS: groups,
      TAPS: kernelHeight * kernelWidth,
      SLICES: slices,
    },
    bindings: [{ buffer: partials, access: "read" }, parameterBinding(dWeight, "read_write")],
    workgroups: [Math.ceil(partialQuads / 64), 1, 1],
  }];
}
