/** Forward convolutions and input gradients as tiled matrix products in workgroup memory: the form for GPUs. */
import {
  channelQuads,
  MAX_TILE_BYTES,
  MAX_TILE_INVOCATIONS,
  quadBytes,
  type Tile,
  tileBytes,
  type TileConvolution,
  tileExtents,
  tileSlicesSource,
  tileSource,
  tileThreads,
  wgsl,
  withElements,
} from "../../wgsl/mod.ts";
import type { Binding, BufferHandle, Candidate, Kernel, ScratchAllocator, Target } from "../graph/kernel.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";
import { cheapest } from "./cheapest.ts";
import { type Axis, packConstants, tapsConvolution, type TapsRequest } from "./conv2d_taps.ts";
import { MAX_LOADS, productCycles, reductionCycles } from "./conv2d_tile_cost.ts";

const CANDIDATES = 4;

const PIXELS = [16, 32, 64, 128] as const;
const CHANNELS = [4, 8, 16, 32, 64, 128] as const;
const DEPTHS = [4, 8, 16] as const;
/** Pixels by channels of an invocation: how often it uses what it reads against the registers it takes. */
const THREAD_TILES = [[8, 8], [8, 4], [4, 4]] as const;
/** As Mesa's compiler for AMD counts them. */
const LOAD_INSTRUCTIONS = 8;
/** Of the sums of an output. */
const MAX_SLICES = 64;
/** Groups side by side are worth it up to so many channels in all. */
const MAX_GROUPED_CHANNELS = 64;

/** How a convolution is computed in tiles, and its name among the candidates: pixels x channels x depth. */
export interface TileForm extends TileSchedule {
  readonly name: string;
}

/** A tile, and how many of the steps along its sums a workgroup does: with fewer than all, slices are added later. */
export interface TileSchedule {
  readonly tile: Tile;
  readonly sliceSteps: number;
}

/** The tiled forms of a convolution whose groups fill channel quads, best first. */
export function tileCandidates(problem: Conv2dProblem, request: TapsRequest, target: Target): Candidate[] {
  return tileForms(problem, request, target).map(({ name, ...schedule }) => ({
    name,
    lower: (memory) => tileKernels(problem, request, { schedule, target, memory }),
  }));
}

/** The forms that should do best on a data-centre GPU, by an estimate of their time. */
export function tileForms(problem: Conv2dProblem, request: TapsRequest, target: Target): TileForm[] {
  const forms = tilesFor(problem, request).map((tile) => {
    const { sliceSteps, cost } = bestSlices(tileConvolution(problem, request, { tile, sliceSteps: 1 }), target);
    return { tile, sliceSteps, cost, shape: `${tile.pixels}x${tile.channels}` };
  });
  return cheapest(forms, CANDIDATES).map(({ tile, sliceSteps }) => {
    const { steps } = tileExtents(tileConvolution(problem, request, { tile, sliceSteps }));
    return { name: tileName(tile, Math.ceil(steps / sliceSteps)), tile, sliceSteps };
  });
}

function tileName({ pixels, channels, depth, groups }: Tile, slices: number): string {
  return `tiles ${pixels}x${channels}x${depth}` + (groups > 1 ? ` of ${groups} groups` : "") +
    (slices > 1 ? ` in ${slices} slices` : "");
}

/** The tiles that fit the convolution and every adapter's limits. */
function tilesFor({ groups: allGroups }: Conv2dProblem, { write }: TapsRequest): Tile[] {
  const channelsAGroup = channelQuads(write) * 4 / allGroups;
  const tiles: Tile[] = [];
  for (const channels of CHANNELS) {
    // Past the channels of a group lies nothing to compute.
    if (channels >= 2 * channelsAGroup) continue;
    const groupCounts = channels === channelsAGroup ? [1, 2, 4, 8, 16] : [1];
    for (const groups of groupCounts) {
      if (allGroups % groups !== 0 || (groups > 1 && groups * channels > MAX_GROUPED_CHANNELS)) continue;
      for (const pixels of PIXELS) {
        for (const depth of DEPTHS) {
          for (const [threadPixels, threadChannels] of THREAD_TILES) {
            if (threadChannels > channels) continue;
            const tile = { pixels, channels, depth, groups, threadPixels, threadChannels };
            if (fits(tile)) tiles.push(tile);
          }
        }
      }
    }
  }
  return tiles;
}

/** Within the limits, a subgroup or more, and loads of pixels that divide among the invocations. */
function fits(tile: Tile): boolean {
  const { threads, columns } = tileThreads(tile);
  const loads = tileLoads(tile);
  const tileColumns = tile.groups * tile.depth / 4;
  return threads >= 32 && threads <= MAX_TILE_INVOCATIONS && tileBytes(tile) <= MAX_TILE_BYTES &&
    columns % tileColumns === 0 && tile.pixels * tileColumns % threads === 0 && loads <= MAX_LOADS;
}

/** Quads that an invocation loads in a step. */
function tileLoads(tile: Tile): number {
  const { threads } = tileThreads(tile);
  const quads = (extent: number) => Math.ceil(tile.depth * tile.groups * extent / 4 / threads);
  return quads(tile.pixels) + quads(tile.channels);
}

/** Slices fill the GPU where the pixels do not, at the cost of writing and adding them; they are one binding. */
function bestSlices(convolution: TileConvolution, target: Target): { sliceSteps: number; cost: number } {
  const { steps, partialQuads } = tileExtents(convolution);
  const bindable = Math.floor(target.maxStorageBindingBytes / (partialQuads * 16));
  let best = { sliceSteps: steps, cost: tileCycles({ ...convolution, sliceSteps: steps }) };
  for (let wanted = 2; wanted <= Math.min(steps, bindable, MAX_SLICES); wanted *= 2) {
    const sliceSteps = Math.ceil(steps / wanted);
    const slices = Math.ceil(steps / sliceSteps);
    const cost = tileCycles({ ...convolution, sliceSteps }) + reductionCycles({ slices, bytes: partialQuads * 16 });
    if (cost < best.cost) best = { sliceSteps, cost };
  }
  return best;
}

function tileCycles(convolution: TileConvolution): number {
  const { tile, input, weightType, sliceSteps } = convolution;
  const { threads, columns, quads } = tileThreads(tile);
  const { tiles, steps, stepQuads } = tileExtents(convolution);
  const depthQuads = tile.depth / 4;
  return productCycles({
    workgroups: tiles * Math.ceil(steps / sliceSteps),
    threads,
    steps: sliceSteps,
    multiplyAdds: tile.threadPixels * tile.threadChannels * tile.depth,
    fragments: [
      // Invocations of a subgroup in one row and group read the same pixel.
      { reads: tile.threadPixels * depthQuads, distinct: Math.max(1, 32 / columns) * tile.groups },
      { reads: quads * tile.depth, distinct: Math.min(32, columns) },
    ],
    loads: tileLoads(tile),
    loadInstructions: LOAD_INSTRUCTIONS,
    loadedBytes: tile.pixels * tile.groups * depthQuads * quadBytes(input.elementType) +
      stepQuads * quadBytes(weightType),
  });
}

/** Packs the weights, then one dispatch, or with slices two. */
export function tileKernels(
  problem: Conv2dProblem,
  request: TapsRequest,
  context: { readonly schedule: TileSchedule; readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  const { read, write, rows, columns } = request;
  const { schedule, target, memory } = context;
  const convolution = tileConvolution(problem, request, schedule);
  const { blocks, blockQuads, steps, partialQuads } = tileExtents(convolution);
  const packed = memory.packed(`${request.label} weights`, blocks * blockQuads * quadBytes(convolution.weightType));
  const slices = Math.ceil(steps / schedule.sliceSteps);
  const limits = { maxWorkgroups: target.maxWorkgroupsPerDimension };
  const label = `${request.label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`;
  const epilogue = request.epilogue?.bindings ?? [];
  const output: Binding = { buffer: write.buffer, access: "read_write" };
  const partials = slices > 1 ? memory.scratch(`${request.label} partials`, slices * partialQuads * 16) : undefined;
  const product: Kernel = {
    label,
    ...tileSource(convolution, limits),
    bindings: [
      { buffer: read.buffer, access: "read" },
      { buffer: packed, access: "read" },
      ...(partials ? [{ buffer: partials, access: "read_write" } as const] : [output, ...epilogue]),
    ],
  };
  const pack = packKernel(problem, request, { convolution, packed });
  if (!partials) return [pack, product];
  const bindings: readonly Binding[] = [{ buffer: partials, access: "read" }, output, ...epilogue];
  return [pack, product, { label: `${label} add slices`, ...tileSlicesSource(convolution, limits), bindings }];
}

function tileConvolution(
  { batch, groups }: Conv2dProblem,
  request: TapsRequest,
  { tile, sliceSteps }: TileSchedule,
): TileConvolution {
  const weightType = request.read.elementType ?? "f32";
  return { ...tapsConvolution(ascending(request)), batch, groups, weightType, tile, sliceSteps };
}

/** The same request with its taps in ascending order. */
function ascending(request: TapsRequest): TapsRequest {
  return { ...request, rows: ascendingAxis(request.rows), columns: ascendingAxis(request.columns) };
}

function ascendingAxis(axis: Axis): Axis {
  const { taps, first, tapStep } = axis;
  if (taps.length < 2 || taps[0] < taps[1]) return axis;
  return { ...axis, taps: taps.toReversed(), first: first + (taps.length - 1) * tapStep, tapStep: -tapStep };
}

function packKernel(
  problem: Conv2dProblem,
  request: TapsRequest,
  { convolution, packed }: { readonly convolution: TileConvolution; readonly packed: BufferHandle },
): Kernel {
  const { weightType, tile } = convolution;
  const { inputQuads, blocks, blockQuads, blocksAGroup } = tileExtents(convolution);
  const { quads, groupColumns } = tileThreads(tile);
  return {
    label: "conv2d pack tiles",
    code: withElements(wgsl.packTiles, weightType),
    constants: {
      ...packConstants(problem, ascending(request)),
      INPUT_QUADS: inputQuads,
      BLOCK_QUADS: blockQuads,
      BLOCKS_A_GROUP: blocksAGroup,
      TILE_GROUPS: tile.groups,
      THREAD_QUADS: quads,
      GROUP_COLUMNS: groupColumns,
    },
    bindings: [parameterBinding(request.weight, "read"), { buffer: packed, access: "read_write" }],
    workgroups: [Math.ceil(blockQuads / 64), blocks, 1],
    parametersOnly: true,
  };
}
