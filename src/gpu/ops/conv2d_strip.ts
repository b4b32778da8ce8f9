/** Forward convolutions and input gradients as strip kernels: packed weights, and one dispatch a block of them. */
import { channelQuads, stripSource } from "../../wgsl/mod.ts";
import type { Candidate, ImageBuffer, Kernel, ScratchAllocator, Target } from "../graph/kernel.ts";
import { imageBytes } from "../graph/tensor.ts";
import { type BoundEpilogue, type Conv2dProblem, largestDivisor } from "./conv2d_problem.ts";
import { blockBytes, packBlocks } from "./conv2d_blocks.ts";
import { tapsConvolution, type TapsRequest } from "./conv2d_taps.ts";

interface StripForm {
  /** Pixels of a strip. */
  readonly pixels: number;
  /** Output channel quads of a block. */
  readonly blockQuads: number;
}

/** The pixels and output channel quads of a strip, the best guess first: registers are fewer on hardware. */
const SOFTWARE_STRIPS = [[16, 4], [8, 4], [16, 2]] as const;
const HARDWARE_STRIPS = [[4, 2], [8, 1]] as const;

export function stripCandidates(problem: Conv2dProblem, request: TapsRequest, target: Target): Candidate[] {
  const quads = channelQuads(request.write) / problem.groups;
  const candidates = (target.software ? SOFTWARE_STRIPS : HARDWARE_STRIPS).map(([pixels, wanted]): Candidate => {
    const form = { pixels, blockQuads: largestDivisor(quads, wanted) };
    return {
      name: `strip ${pixels}x${form.blockQuads * 4}`,
      lower: (memory) => stripKernels(problem, request, { form, target, memory }),
    };
  });
  // Few channels make several strips the same.
  return candidates.filter(({ name }, i) => candidates.findIndex((other) => other.name === name) === i);
}

/** Packs the weights, then one dispatch for each block of output channels and chunk of input channels. */
function stripKernels(
  problem: Conv2dProblem,
  request: TapsRequest,
  { form, target, memory }: { readonly form: StripForm; readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  const { read, write, rows, columns } = request;
  const { groups, batch } = problem;
  const { pixels, blockQuads } = form;
  const readQuads = channelQuads(read) / groups;
  let chunkQuads = readQuads;
  while (blockBytes(request, { chunkQuads, blockQuads }) > target.maxUniformBindingBytes && chunkQuads > 1) {
    chunkQuads = largestDivisor(readQuads, chunkQuads - 1);
  }
  const chunks = readQuads / chunkQuads;
  const blocksAGroup = channelQuads(write) / groups / blockQuads;
  const blocks = packBlocks(problem, request, { shape: { chunkQuads, chunks, blockQuads, blocksAGroup }, memory });
  // Sums of several chunks are not rounded in between.
  const sums = chunks > 1 && write.elementType === "f16" ? f32Sums(write, batch, memory) : undefined;
  const epilogue = sums ? adding(sums, request.epilogue) : request.epilogue;
  const outputOf = (chunk: number) => chunk < chunks - 1 ? sums ?? write : write;
  const source = (chunk: number) =>
    stripSource({
      ...tapsConvolution(request),
      output: outputOf(chunk),
      inputQuads: chunkQuads,
      outputQuads: blockQuads,
      batch,
      accumulate: chunk > 0 && (!sums || chunk < chunks - 1),
      // Of several chunks the last one has the whole sum.
      epilogue: chunk === chunks - 1 ? epilogue : undefined,
      pixels,
      lanes: target.software && target.subgroupSize > 0 && 16 % target.subgroupSize === 0 ? target.subgroupSize : 0,
    });
  const sources = Array.from({ length: chunks }, (_, chunk) => source(chunk));
  const label = `${request.label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`;
  const dispatches = Array.from({ length: blocks.count }, (_, block): Kernel => {
    const { code, workgroups } = sources[block % chunks];
    const isLast = block % chunks === chunks - 1;
    return {
      label,
      code,
      bindings: [
        { buffer: read.buffer, access: "read" },
        blocks.binding(block),
        { buffer: outputOf(block % chunks).buffer, access: "read_write" },
        ...(isLast && epilogue ? epilogue.bindings : []),
      ],
      workgroups: [workgroups, 1, 1],
    };
  });
  return [blocks.pack, ...dispatches];
}

/** An f32 image of the sums towards `write`. */
function f32Sums(write: ImageBuffer, batch: number, memory: ScratchAllocator): ImageBuffer {
  const buffer = memory.scratch("conv2d sums", imageBytes({ batch, ...write }, 0, "f32"));
  return { ...write, buffer, halo: 0, elementType: "f32" };
}

/** An epilogue that adds what `sums` holds to the value first. */
function adding(sums: ImageBuffer, epilogue?: BoundEpilogue): BoundEpilogue {
  const { inputs = [], declarations = [], bindings = [], vectors = () => [], expression = "value" } = epilogue ?? {};
  return {
    inputs: [...inputs, sums],
    declarations,
    bindings: [
      ...bindings.slice(0, inputs.length),
      { buffer: sums.buffer, access: "read" },
      ...bindings.slice(inputs.length),
    ],
    vectors,
    expression: expression.replaceAll(/\bvalue\b/g, `(value + e${inputs.length})`),
  };
}
