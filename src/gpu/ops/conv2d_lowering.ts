/** From the sizes of a convolution to its kernels: problem, selection of a form, dispatches. */
import {
  channelQuads,
  clearImageSource,
  type ImageLayout,
  stripBlockQuads,
  stripSource,
  tileCounts,
  tileQuads,
  type WeightGradient,
  weightGradientSource,
  type WeightTile,
  wgsl,
} from "../../wgsl/mod.ts";
import type { BufferHandle, ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "../graph/kernel.ts";

/** The sizes of a convolution; channels are logical. */
export interface Conv2dProblem {
  readonly batch: number;
  readonly inputHeight: number;
  readonly inputWidth: number;
  readonly inputChannels: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly outputChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

/** The zero borders that the kernels need around what they read, in pixels. */
export function conv2dHalos(problem: Conv2dProblem): { readonly input: number; readonly dOutput: number } {
  const { stride, padding } = problem;
  const past = (output: number, kernel: number, input: number) => (output - 1) * stride + kernel - padding - input;
  const input = Math.max(
    padding,
    past(problem.outputHeight, problem.kernelHeight, problem.inputHeight),
    past(problem.outputWidth, problem.kernelWidth, problem.inputWidth),
  );
  const reaches = [
    ...phases(problem.inputHeight, problem.kernelHeight, problem).map((phase) => reach(phase, problem.outputHeight)),
    ...phases(problem.inputWidth, problem.kernelWidth, problem).map((phase) => reach(phase, problem.outputWidth)),
  ];
  return { input, dOutput: Math.max(0, ...reaches) };
}

/** y of x and w; writes the interior of the output. */
export function lowerConv2d(
  problem: Conv2dProblem,
  io: { readonly input: ImageBuffer; readonly weight: ParameterRange; readonly output: ImageBuffer },
  target: Target,
  memory: ScratchAllocator,
): Kernel[] {
  const { input, weight, output } = io;
  if (!fillsQuads(problem)) {
    return [directKernel("conv2d direct", wgsl.conv2dDirect, { problem, read: input, weight, write: output }, output)];
  }
  const { padding, kernelHeight, kernelWidth, stride } = problem;
  const taps = (count: number) => Array.from({ length: count }, (_, k) => k - padding);
  return stripKernels(problem, {
    label: `conv2d ${kernelHeight}x${kernelWidth}`,
    read: input,
    write: output,
    weight,
    transposed: false,
    rows: { count: problem.outputHeight, start: 0, step: 1, first: 0, taps: taps(kernelHeight), tapStep: 1 },
    columns: { count: problem.outputWidth, start: 0, step: 1, first: 0, taps: taps(kernelWidth), tapStep: 1 },
    inputStep: stride,
  }, { target, memory });
}

/** dx of dy and w; writes the interior of dInput. */
export function lowerConv2dBackwardInput(
  problem: Conv2dProblem,
  io: { readonly dOutput: ImageBuffer; readonly weight: ParameterRange; readonly dInput: ImageBuffer },
  target: Target,
  memory: ScratchAllocator,
): Kernel[] {
  const { dOutput, weight, dInput } = io;
  if (!fillsQuads(problem)) {
    const label = "conv2d_backward_input direct";
    return [
      directKernel(label, wgsl.conv2dDirectBackwardInput, { problem, read: dOutput, weight, write: dInput }, dInput),
    ];
  }
  const { kernelHeight, kernelWidth } = problem;
  const rowPhases = phases(problem.inputHeight, kernelHeight, problem);
  const columnPhases = phases(problem.inputWidth, kernelWidth, problem);
  const untouched = [...rowPhases, ...columnPhases].some((phase) => phase.taps.length === 0);
  return [
    // Pixels that no output depends on have a gradient of 0.
    ...(untouched ? [clearKernel(dInput, problem.batch)] : []),
    ...rowPhases.flatMap((rows) =>
      columnPhases.flatMap((columns) =>
        rows.taps.length === 0 || columns.taps.length === 0 ? [] : stripKernels(problem, {
          label: `conv2d_backward_input ${kernelHeight}x${kernelWidth}`,
          read: dOutput,
          write: dInput,
          weight,
          transposed: true,
          rows,
          columns,
          inputStep: 1,
        }, { target, memory })
      )
    ),
  ];
}

/** dw of x and dy, as OIHW; overwrites. */
export function lowerConv2dBackwardWeight(
  problem: Conv2dProblem,
  io: { readonly input: ImageBuffer; readonly dOutput: ImageBuffer; readonly dWeight: ParameterRange },
  target: Target,
  memory: ScratchAllocator,
): Kernel[] {
  const { input, dOutput, dWeight } = io;
  const { kernelHeight, kernelWidth, outputHeight, groups, inputChannels, outputChannels } = problem;
  if (!fillsQuads(problem)) {
    return [{
      label: "conv2d_backward_weight direct",
      code: wgsl.conv2dDirectBackwardWeight,
      constants: { BATCH: problem.batch, ...directConstants(problem, input.halo, dOutput.halo) },
      bindings: [
        { buffer: input.buffer, access: "read" },
        { buffer: dOutput.buffer, access: "read" },
        parameterBinding(dWeight, "read_write"),
      ],
      workgroups: [Math.ceil(dWeight.length / 16), 1, 1],
    }];
  }
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

/** Whether channel quads lie within one group, as the fast kernels need. */
function fillsQuads({ groups, inputChannels, outputChannels }: Conv2dProblem): boolean {
  return groups === 1 || (inputChannels / groups % 4 === 0 && outputChannels / groups % 4 === 0);
}

/** One axis of a strip convolution: which outputs, and which taps they see. */
interface Axis {
  /** Outputs of the grid, its first pixel in the image and the distance of its pixels. */
  readonly count: number;
  readonly start: number;
  readonly step: number;
  /** Kernel index of the first tap and the distance of the taps in the kernel. */
  readonly first: number;
  readonly tapStep: number;
  /** Where each tap reads, relative to the output's own pixel of the read image. */
  readonly taps: readonly number[];
}

/**
 * The phases of the input gradient along one axis: the pixels r, r + s, r + 2s, ... see the kernel indices
 * k = r + padding (mod s), at (r + padding - k) / s.
 */
function phases(
  extent: number,
  kernel: number,
  { stride, padding }: Pick<Conv2dProblem, "stride" | "padding">,
): Axis[] {
  return Array.from({ length: Math.min(stride, extent) }, (_, r) => {
    const first = (r + padding) % stride;
    const taps: number[] = [];
    for (let k = first; k < kernel; k += stride) taps.push((r + padding - k) / stride);
    return { count: Math.ceil((extent - r) / stride), start: r, step: stride, first, tapStep: stride, taps };
  });
}

/** Pixels outside the read image that a phase reads. */
function reach({ count, taps }: Axis, extent: number): number {
  if (taps.length === 0) return 0;
  return Math.max(-Math.min(...taps), count - 1 + Math.max(...taps) - (extent - 1));
}

interface StripRequest {
  readonly label: string;
  readonly read: ImageBuffer;
  readonly write: ImageBuffer;
  readonly weight: ParameterRange;
  readonly transposed: boolean;
  readonly rows: Axis;
  readonly columns: Axis;
  readonly inputStep: number;
}

/** Packs the weights, then one dispatch for each block of output channels and chunk of input channels. */
function stripKernels(
  problem: Conv2dProblem,
  request: StripRequest,
  { target, memory }: { readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  const { read, write, weight, rows, columns } = request;
  const { groups, batch } = problem;
  const blockQuads = largestDivisor(channelQuads(write) / groups, target.software ? 4 : 2);
  const readQuads = channelQuads(read) / groups;
  const bytesPerQuad = (quads: number) =>
    16 * stripBlockQuads({ dy: rows.taps, dx: columns.taps, inputQuads: quads, outputQuads: blockQuads });
  let chunkQuads = readQuads;
  while (bytesPerQuad(chunkQuads) > target.maxUniformBindingBytes && chunkQuads > 1) {
    chunkQuads = largestDivisor(readQuads, chunkQuads - 1);
  }
  const chunks = readQuads / chunkQuads;
  const blocksAGroup = channelQuads(write) / groups / blockQuads;
  const blocks = groups * blocksAGroup * chunks;
  const blockBytes = bytesPerQuad(chunkQuads);
  const strideBytes = Math.ceil(blockBytes / 256) * 256;
  const packed = memory.packed(`${request.label} weights`, blocks * strideBytes);
  const source = (accumulate: boolean) =>
    stripSource({
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
      inputQuads: chunkQuads,
      outputQuads: blockQuads,
      batch,
      accumulate,
      pixels: target.software ? 16 : 4,
    });
  const first = source(false);
  const next = chunks > 1 ? source(true) : first;
  const label = `${request.label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`;
  const dispatches = Array.from({ length: blocks }, (_, block): Kernel => {
    const { code, workgroups } = block % chunks === 0 ? first : next;
    return {
      label,
      code,
      bindings: [
        { buffer: read.buffer, access: "read" },
        { buffer: packed, access: "uniform", offset: block * strideBytes, size: blockBytes },
        { buffer: write.buffer, access: "read_write" },
      ],
      workgroups: [workgroups, 1, 1],
    };
  });
  const layout = { chunkQuads, chunks, blockQuads, blocksAGroup, blocks, stride: strideBytes / 16 };
  return [packKernel(problem, request, { packed, weight, ...layout }), ...dispatches];
}

function packKernel(
  { outputChannels, inputChannels, groups, kernelHeight, kernelWidth }: Conv2dProblem,
  { transposed, rows, columns }: StripRequest,
  pack: {
    readonly packed: BufferHandle;
    readonly weight: ParameterRange;
    readonly chunkQuads: number;
    readonly chunks: number;
    readonly blockQuads: number;
    readonly blocksAGroup: number;
    readonly blocks: number;
    readonly stride: number;
  },
): Kernel {
  return {
    label: "conv2d pack weights",
    code: wgsl.packWeights,
    constants: {
      OUT: outputChannels,
      IN: inputChannels,
      GROUPS: groups,
      KERNEL_HEIGHT: kernelHeight,
      KERNEL_WIDTH: kernelWidth,
      TRANSPOSED: transposed ? 1 : 0,
      TAP_ROWS: rows.taps.length,
      TAP_COLUMNS: columns.taps.length,
      KY_START: rows.first,
      KY_STEP: rows.tapStep,
      KX_START: columns.first,
      KX_STEP: columns.tapStep,
      CHUNK_QUADS: pack.chunkQuads,
      CHUNKS: pack.chunks,
      BLOCK_QUADS: pack.blockQuads,
      BLOCKS_A_GROUP: pack.blocksAGroup,
      BLOCKS: pack.blocks,
      STRIDE: pack.stride,
    },
    bindings: [parameterBinding(pack.weight, "read"), { buffer: pack.packed, access: "read_write" }],
    workgroups: [Math.ceil(pack.stride / 64), pack.blocks, 1],
    parametersOnly: true,
  };
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
  const wanted = Math.min(rows, Math.max(16, Math.ceil(invocations / tiles / 16) * 16));
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

interface DirectParts {
  readonly problem: Conv2dProblem;
  readonly read: ImageBuffer;
  readonly weight: ParameterRange;
  readonly write: ImageBuffer;
}

function directKernel(label: string, code: string, parts: DirectParts, domain: ImageBuffer): Kernel {
  const { problem, read, weight, write } = parts;
  const forward = code === wgsl.conv2dDirect;
  const [inputHalo, outputHalo] = forward ? [read.halo, write.halo] : [write.halo, read.halo];
  return {
    label,
    code,
    constants: directConstants(problem, inputHalo, outputHalo),
    bindings: [
      { buffer: read.buffer, access: "read" },
      parameterBinding(weight, "read"),
      { buffer: write.buffer, access: "read_write" },
    ],
    workgroups: [Math.ceil(domain.height * domain.width * channelQuads(domain) / 16), problem.batch, 1],
  };
}

function directConstants(problem: Conv2dProblem, inputHalo: number, outputHalo: number): Record<string, number> {
  return {
    IN: problem.inputChannels,
    OUT: problem.outputChannels,
    GROUPS: problem.groups,
    KERNEL_HEIGHT: problem.kernelHeight,
    KERNEL_WIDTH: problem.kernelWidth,
    STRIDE: problem.stride,
    PADDING: problem.padding,
    IN_HEIGHT: problem.inputHeight,
    IN_WIDTH: problem.inputWidth,
    IN_HALO: inputHalo,
    OUT_HEIGHT: problem.outputHeight,
    OUT_WIDTH: problem.outputWidth,
    OUT_HALO: outputHalo,
  };
}

function clearKernel(image: ImageBuffer, batch: number): Kernel {
  const { code, workgroups } = clearImageSource(image);
  return {
    label: "conv2d_backward_input clear",
    code,
    bindings: [{ buffer: image.buffer, access: "read_write" }],
    workgroups: [workgroups, batch, 1],
  };
}

function parameterBinding({ buffer, offset, length }: ParameterRange, access: "read" | "read_write") {
  return { buffer, offset, size: length * 4, access };
}

/** The largest divisor of `count` that is at most `limit`. */
function largestDivisor(count: number, limit: number): number {
  for (let divisor = Math.min(count, limit); divisor > 1; divisor--) {
    if (count % divisor === 0) return divisor;
  }
  return 1;
}
