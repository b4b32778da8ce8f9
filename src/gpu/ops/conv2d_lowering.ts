/** From the sizes of a convolution to its kernels: which form serves which problem. */
import { clearImageSource, wgsl } from "../../wgsl/mod.ts";
import type { Candidate, ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "../graph/kernel.ts";
import { columnCandidates } from "./conv2d_columns.ts";
import { directKernel, directWeightGradientKernel } from "./conv2d_direct.ts";
import { tapsKey, weightGradientKey } from "./conv2d_key.ts";
import type { BoundEpilogue, BoundPrologue, Conv2dProblem } from "./conv2d_problem.ts";
import { laneCandidates } from "./conv2d_lanes.ts";
import { quadGroupCandidates, quadGroupWeightGradientCandidates } from "./conv2d_quad_groups.ts";
import { stripCandidates } from "./conv2d_strip.ts";
import type { Axis, TapsRequest } from "./conv2d_taps.ts";
import { tileCandidates } from "./conv2d_tiles.ts";
import { weightGradientCandidates } from "./conv2d_weight_gradient.ts";
import { tiledGradientCandidates } from "./conv2d_weight_gradient_tiles.ts";

export type { Conv2dProblem } from "./conv2d_problem.ts";

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

interface ForwardBuffers {
  readonly input: ImageBuffer;
  readonly weight: ParameterRange;
  readonly output: ImageBuffer;
}

/** y of x and w; writes the interior of the output. An epilogue needs `fillsQuads`. */
export function lowerConv2d(
  problem: Conv2dProblem,
  io: ForwardBuffers,
  target: Target,
  memory: ScratchAllocator,
  fused: { readonly epilogue?: BoundEpilogue; readonly prologue?: BoundPrologue } = {},
): Kernel[] {
  const { input, weight, output } = io;
  if (!fillsQuads(problem)) {
    return [directKernel("conv2d direct", wgsl.conv2dDirect, { problem, read: input, weight, write: output }, output)];
  }
  return tapKernels(problem, { ...forwardRequest(problem, io, fused.epilogue), prologue: fused.prologue }, {
    target,
    memory,
  });
}

/** A forward convolution as a list of taps. */
export function forwardRequest(
  { padding, kernelHeight, kernelWidth, stride, outputHeight, outputWidth }: Conv2dProblem,
  { input, weight, output }: ForwardBuffers,
  epilogue?: BoundEpilogue,
): TapsRequest {
  const taps = (count: number) => Array.from({ length: count }, (_, k) => k - padding);
  return {
    label: `conv2d ${kernelHeight}x${kernelWidth}`,
    read: input,
    write: output,
    weight,
    transposed: false,
    rows: { count: outputHeight, start: 0, step: 1, first: 0, taps: taps(kernelHeight), tapStep: 1 },
    columns: { count: outputWidth, start: 0, step: 1, first: 0, taps: taps(kernelWidth), tapStep: 1 },
    inputStep: stride,
    epilogue,
  };
}

interface BackwardInputBuffers {
  readonly dOutput: ImageBuffer;
  readonly weight: ParameterRange;
  readonly dInput: ImageBuffer;
}

/** dx of dy and w; writes the interior of dInput. */
export function lowerConv2dBackwardInput(
  problem: Conv2dProblem,
  io: BackwardInputBuffers,
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
  const together = backwardInputTogether(problem, io);
  const candidates = together ? laneCandidates(problem, together, target) : [];
  if (together && candidates.length > 0) return memory.choose(tapsKey(problem, together), candidates).lower(memory);
  const { requests, untouched } = backwardInputRequests(problem, io);
  return [
    // Pixels that no output depends on have a gradient of 0.
    ...(untouched ? [clearKernel(dInput, problem.batch)] : []),
    ...requests.flatMap((request) => tapKernels(problem, request, { target, memory })),
  ];
}

/** The phases of an input gradient, and whether they leave pixels out. */
export function backwardInputRequests(
  problem: Conv2dProblem,
  { dOutput, weight, dInput }: BackwardInputBuffers,
): { readonly requests: readonly TapsRequest[]; readonly untouched: boolean } {
  const { kernelHeight, kernelWidth, inputHeight, inputWidth } = problem;
  const rowPhases = phases(inputHeight, kernelHeight, problem);
  const columnPhases = phases(inputWidth, kernelWidth, problem);
  const hasTaps = ({ taps }: Axis) => taps.length > 0;
  const requests = rowPhases.filter(hasTaps).flatMap((rows) =>
    columnPhases.filter(hasTaps).map((columns) => ({
      label: `conv2d_backward_input ${kernelHeight}x${kernelWidth}`,
      read: dOutput,
      write: dInput,
      weight,
      transposed: true,
      rows,
      columns,
      inputStep: 1,
    }))
  );
  return { requests, untouched: ![...rowPhases, ...columnPhases].every(hasTaps) };
}

/** All phases of a strided input gradient as one list of taps; undefined where they have not equal numbers of pixels. */
function backwardInputTogether(
  problem: Conv2dProblem,
  { dOutput, weight, dInput }: BackwardInputBuffers,
): TapsRequest | undefined {
  const { kernelHeight, kernelWidth, inputHeight, inputWidth, stride, padding } = problem;
  const divides = inputHeight % stride === 0 && inputWidth % stride === 0;
  if (stride === 1 || !divides || Math.min(kernelHeight, kernelWidth) < stride) return undefined;
  const axis = (extent: number, kernel: number): Axis => {
    const phases = Array.from({ length: kernel }, (_, k) => (k + stride * padding - padding) % stride);
    const taps = phases.map((phase, k) => (phase + padding - k) / stride);
    return { count: extent / stride, start: 0, step: stride, first: 0, tapStep: 1, taps, phases };
  };
  return {
    label: `conv2d_backward_input ${kernelHeight}x${kernelWidth}`,
    read: dOutput,
    write: dInput,
    weight,
    transposed: true,
    rows: axis(inputHeight, kernelHeight),
    columns: axis(inputWidth, kernelWidth),
    inputStep: 1,
  };
}

/** dw of x and dy, as OIHW; overwrites. A prologue needs `lanesServe`. */
export function lowerConv2dBackwardWeight(
  problem: Conv2dProblem,
  io: { readonly input: ImageBuffer; readonly dOutput: ImageBuffer; readonly dWeight: ParameterRange },
  target: Target,
  memory: ScratchAllocator,
  prologue?: BoundPrologue,
): Kernel[] {
  if (!fillsQuads(problem)) return [directWeightGradientKernel(problem, io)];
  const candidates = prologue ? weightGradientCandidates(problem, { ...io, prologue }, target) : [
    ...quadGroupWeightGradientCandidates(problem, io, target),
    ...(target.software ? [] : tiledGradientCandidates(problem, io, target)),
    ...weightGradientCandidates(problem, io, target),
  ];
  return memory.choose(weightGradientKey(problem, { ...io, prologue }), candidates).lower(memory);
}

function tapKernels(
  problem: Conv2dProblem,
  request: TapsRequest,
  { target, memory }: { readonly target: Target; readonly memory: ScratchAllocator },
): Kernel[] {
  return memory.choose(tapsKey(problem, request), tapCandidates(problem, request, target)).lower(memory);
}

/** The forms of a list of taps, the fastest by the cost models first; on software Vulkan a barrier is too slow. */
function tapCandidates(problem: Conv2dProblem, request: TapsRequest, target: Target): Candidate[] {
  if (request.prologue) return laneCandidates(problem, request, target);
  return [
    ...quadGroupCandidates(problem, request, target),
    ...(target.software ? [] : tileCandidates(problem, request, target)),
    ...columnCandidates(problem, request, target),
    ...laneCandidates(problem, request, target),
    ...stripCandidates(problem, request, target),
  ];
}

/** Whether channel quads lie within one group, as the fast kernels need. */
export function fillsQuads({ groups, inputChannels, outputChannels }: Conv2dProblem): boolean {
  return groups === 1 || (inputChannels / groups % 4 === 0 && outputChannels / groups % 4 === 0);
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

function clearKernel(image: ImageBuffer, batch: number): Kernel {
  const { code, workgroups } = clearImageSource(image, batch);
  return {
    label: "conv2d_backward_input clear",
    code,
    bindings: [{ buffer: image.buffer, access: "read_write" }],
    workgroups,
  };
}
