/** Weights in blocks that a kernel binds as a uniform each: a block is some output channels of some input channels. */
import { stripBlockQuads, wgsl } from "../../wgsl/mod.ts";
import type { Binding, Kernel, ScratchAllocator } from "../graph/kernel.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";
import { packConstants, type TapsRequest } from "./conv2d_taps.ts";

export interface BlockShape {
  /** Input channel quads of a chunk, and chunks of a group. */
  readonly chunkQuads: number;
  readonly chunks: number;
  /** Output channel quads of a block, and blocks of a group for each chunk. */
  readonly blockQuads: number;
  readonly blocksAGroup: number;
}

export interface PackedBlocks {
  readonly count: number;
  readonly pack: Kernel;
  /** Chunks of one output block follow each other. */
  readonly binding: (block: number) => Binding;
}

/** Bytes of one block. */
export function blockBytes(
  { rows, columns }: TapsRequest,
  { chunkQuads, blockQuads }: Pick<BlockShape, "chunkQuads" | "blockQuads">,
): number {
  return 16 * stripBlockQuads({ dy: rows.taps, dx: columns.taps, inputQuads: chunkQuads, outputQuads: blockQuads });
}

/** Packs all weights that a request takes. */
export function packBlocks(
  problem: Conv2dProblem,
  request: TapsRequest,
  { shape, memory }: { readonly shape: BlockShape; readonly memory: ScratchAllocator },
): PackedBlocks {
  const { chunkQuads, chunks, blockQuads, blocksAGroup } = shape;
  const count = problem.groups * blocksAGroup * chunks;
  const size = blockBytes(request, shape);
  const stride = Math.ceil(size / 256) * 256;
  const packed = memory.packed(`${request.label} weights`, count * stride);
  const pack: Kernel = {
    label: "conv2d pack weights",
    code: wgsl.packWeights,
    constants: {
      ...packConstants(problem, request),
      CHUNK_QUADS: chunkQuads,
      CHUNKS: chunks,
      BLOCK_QUADS: blockQuads,
      BLOCKS_A_GROUP: blocksAGroup,
      BLOCKS: count,
      STRIDE: stride / 16,
    },
    bindings: [parameterBinding(request.weight, "read"), { buffer: packed, access: "read_write" }],
    workgroups: [Math.ceil(stride / 16 / 64), count, 1],
    parametersOnly: true,
  };
  return { count, pack, binding: (block) => ({ buffer: packed, access: "uniform", offset: block * stride, size }) };
}
