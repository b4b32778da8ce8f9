/** The names under which convolutions ask for one of their forms: all that decides the kernels, in words. */
import type { ImageBuffer } from "../graph/kernel.ts";
import type { BoundEpilogue, BoundPrologue, Conv2dProblem } from "./conv2d_problem.ts";
import type { Axis, TapsRequest } from "./conv2d_taps.ts";

/** A forward convolution, or one phase of an input gradient. */
export function tapsKey({ batch, groups }: Conv2dProblem, request: TapsRequest): string {
  const { label, read, write, rows, columns, inputStep, epilogue, prologue } = request;
  return [
    `${label} ${imageKey(read)} -> ${imageKey(write)}`,
    `batch ${batch}`,
    `groups ${groups}`,
    `step ${inputStep}`,
    `rows ${axisKey(rows)}`,
    `columns ${axisKey(columns)}`,
    ...(epilogue ? [epilogueKey(epilogue)] : []),
    ...(prologue ? [prologueKey(prologue)] : []),
  ].join(", ");
}

export function weightGradientKey(
  problem: Conv2dProblem,
  { input, dOutput, prologue }: {
    readonly input: ImageBuffer;
    readonly dOutput: ImageBuffer;
    readonly prologue?: BoundPrologue;
  },
): string {
  const { batch, groups, kernelHeight, kernelWidth, stride, padding } = problem;
  return [
    `conv2d_backward_weight ${kernelHeight}x${kernelWidth} ${imageKey(input)}, ${imageKey(dOutput)}`,
    `batch ${batch}`,
    `groups ${groups}`,
    `stride ${stride}`,
    `padding ${padding}`,
    ...(prologue ? [prologueKey(prologue)] : []),
  ].join(", ");
}

function imageKey({ height, width, channels, halo, elementType = "f32" }: ImageBuffer): string {
  return `${height}x${width}x${channels}+${halo}${elementType === "f32" ? "" : ` ${elementType}`}`;
}

function axisKey({ count, start, step, first, tapStep, taps, phases }: Axis): string {
  const outputs = phases ? ` for ${phases.join(" ")}` : "";
  return `${count} from ${start} by ${step} taps ${taps.join(" ")}${outputs} at ${first} by ${tapStep}`;
}

/** An epilogue's images have the size of the output, but halos of their own. */
function epilogueKey({ inputs, declarations, vectors, expression }: BoundEpilogue): string {
  const bound = declarations.map((text) => text.replace(/;$/, ""));
  const values = vectors("c").map((value, i) => `v${i} = ${value}`);
  const images = inputs.map(({ halo }, i) => `e${i} +${halo}`);
  return `then ${[...bound, ...values, ...images, expression].join("; ")}`;
}

function prologueKey({ declarations, vectors, expression }: BoundPrologue): string {
  const values = vectors("c").map((value, i) => `p${i} = ${value}`);
  return `of ${[...declarations, ...values, expression].join("; ")}`;
}
