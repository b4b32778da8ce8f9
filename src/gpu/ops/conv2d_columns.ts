/** Convolutions of images of one channel quad, for software Vulkan: invocations walk down columns of pixels. */
import {
  channelQuads,
  columnSlices,
  columnSource,
  type ColumnWeightGradient,
  type ImageLayout,
  usedComponents,
} from "../../wgsl/mod.ts";
import type { Candidate, Kernel, ScratchAllocator, Target } from "../graph/kernel.ts";
import { blockBytes, packBlocks } from "./conv2d_blocks.ts";
import { type Conv2dProblem, largestDivisor } from "./conv2d_problem.ts";
import { tapsConvolution, type TapsRequest } from "./conv2d_taps.ts";

/** Multiply-adds of straight-line code, beyond which compilation takes seconds. */
const MAX_BODY = 4800;
/** Sums of a weight gradient, beyond which they leave the L1 cache. */
const MAX_SUMS = 288;
/** Wider strips read little less, and hold more. */
const MAX_WIDTH = 4;
/** Output channel quads of a block: every block reads the input again. */
const MAX_BLOCK_QUADS = 4;
/** Rows of a walk, below which most of what it reads is read for one row alone. */
const MIN_HEIGHT = 4;
/** Invocations that keep some threads busy. */
const FORWARD_INVOCATIONS = 1024;
/** Fewer, since each writes all its sums. */
const GRADIENT_INVOCATIONS = 512;

interface ColumnForm {
  readonly blockQuads: number;
  readonly width: number;
  readonly height: number;
}

/** None where an image has several channel quads, or where the code would be too long. */
export function columnCandidates(problem: Conv2dProblem, request: TapsRequest, target: Target): Candidate[] {
  const { read, write, rows, columns } = request;
  const taps = rows.taps.length * columns.taps.length;
  if (!isServed(problem, read, target) || taps === 0) return [];
  const blockQuads = largestDivisor(channelQuads(write), MAX_BLOCK_QUADS);
  const products = taps * usedComponents(read).length * blockQuads * 4;
  const width = Math.min(MAX_WIDTH, columns.count, Math.floor(MAX_BODY / products));
  if (width === 0 || blockBytes(request, { chunkQuads: 1, blockQuads }) > target.maxUniformBindingBytes) return [];
  const walks = Math.ceil(FORWARD_INVOCATIONS / (problem.batch * Math.ceil(columns.count / width)));
  const form = { blockQuads, width, height: Math.min(rows.count, Math.max(MIN_HEIGHT, Math.ceil(rows.count / walks))) };
  return [{
    name: `columns ${width}x${blockQuads * 4}`,
    lower: (memory) => columnKernels(problem, request, { form, target, memory }),
  }];
}

/** Packs the weights, then one dispatch for each block of output channels. */
function columnKernels(
  problem: Conv2dProblem,
  request: TapsRequest,
  { form, target, memory }: { readonly form: ColumnForm; readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  const { read, write, rows, columns, epilogue } = request;
  const { blockQuads, width, height } = form;
  const shape = { chunkQuads: 1, chunks: 1, blockQuads, blocksAGroup: channelQuads(write) / blockQuads };
  const blocks = packBlocks(problem, request, { shape, memory });
  const { code, workgroups } = columnSource({
    ...tapsConvolution(request),
    batch: problem.batch,
    outputQuads: blockQuads,
    lanes: target.subgroupSize,
    width,
    height,
  });
  const dispatches = Array.from({ length: blocks.count }, (_, block): Kernel => ({
    label: `${request.label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`,
    code,
    bindings: [
      { buffer: read.buffer, access: "read" },
      blocks.binding(block),
      { buffer: write.buffer, access: "read_write" },
      ...(epilogue?.bindings ?? []),
    ],
    workgroups: [workgroups, 1, 1],
  }));
  return [blocks.pack, ...dispatches];
}

/** None where an image has several channel quads, or where the sums are too many. */
export function columnWeightGradients(
  problem: Conv2dProblem,
  { input, dOutput }: { readonly input: ImageLayout; readonly dOutput: ImageLayout },
  target: Target,
): ColumnWeightGradient[] {
  if (!isServed(problem, input, target)) return [];
  const { batch, outputWidth, kernelHeight, kernelWidth } = problem;
  const perQuad = kernelHeight * kernelWidth * usedComponents(input).length * 4;
  const outputQuads = largestDivisor(channelQuads(dOutput), Math.max(1, Math.floor(MAX_SUMS / perQuad)));
  const width = Math.min(MAX_WIDTH, outputWidth, Math.floor(MAX_BODY / (perQuad * outputQuads)));
  if (perQuad > MAX_SUMS || width === 0) return [];
  const tile = { tapRows: kernelHeight, inputQuads: 1, outputQuads };
  const form = { ...problem, input, dOutput, tile, width };
  // The partial sums of all slices are one binding, and every slice has one strip of columns.
  const bindable = Math.floor(target.maxStorageBindingBytes / (perQuad * channelQuads(dOutput) * 16));
  const wanted = Math.min(bindable, GRADIENT_INVOCATIONS * outputQuads / channelQuads(dOutput));
  const images = Math.ceil(batch * Math.ceil(outputWidth / width) / wanted);
  const slices = columnSlices({ ...form, images });
  return slices <= bindable ? [{ ...form, images, slices }] : [];
}

function isServed({ groups }: Conv2dProblem, image: ImageLayout, { software, subgroupSize }: Target): boolean {
  return software && subgroupSize > 0 && 16 % subgroupSize === 0 && groups === 1 && channelQuads(image) === 1;
}
