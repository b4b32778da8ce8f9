import { elementwiseSource } from "../../wgsl/mod.ts";
import type { Binding, ImageBuffer, Kernel, Target } from "../graph/kernel.ts";
import { largestDivisor } from "./conv2d_problem.ts";

export interface ElementwiseOptions {
  readonly label: string;
  readonly title: string;
  readonly batch: number;
  readonly inputs: readonly ImageBuffer[];
  readonly output: ImageBuffer;
  /** Per-channel vectors and scalars: a declaration without its group and binding, and what it binds. */
  readonly extra?: readonly { readonly declaration: string; readonly binding: Binding }[];
  readonly prologue?: string;
  readonly expression: string;
  readonly target: Target;
}

/** Pixels of an invocation on software Vulkan: the loads of per-channel vectors serve them all. */
const SOFTWARE_PIXELS = 4;

/** A kernel over every element of the interior of `output`. */
export function elementwiseKernel(options: ElementwiseOptions): Kernel {
  const { inputs, output, extra = [], target } = options;
  const { code, workgroups } = elementwiseSource({
    title: options.title,
    output,
    inputs,
    declarations: extra.map(({ declaration }) => declaration),
    prologue: options.prologue,
    expression: options.expression,
    pixels: target.software ? largestDivisor(output.width, SOFTWARE_PIXELS) : 1,
  }, options.batch);
  return {
    label: `${options.label} ${output.height}x${output.width}x${output.channels}`,
    code,
    bindings: [
      ...inputs.map(({ buffer }): Binding => ({ buffer, access: "read" })),
      ...extra.map(({ binding }) => binding),
      { buffer: output.buffer, access: "read_write" },
    ],
    workgroups,
  };
}

/** Binds a few vec4s a channel quad, as a uniform where they fit: on software Vulkan those loads are the cheap ones. */
export function channelVectors(
  name: string,
  image: ImageBuffer,
  rows: number,
  target: Target,
): { readonly declaration: string; readonly binding: Binding } {
  const count = rows * Math.ceil(image.channels / 4);
  const uniform = count * 16 <= target.maxUniformBindingBytes;
  return {
    declaration: uniform
      ? `var<uniform> ${name}: array<vec4<f32>, ${count}>;`
      : `var<storage, read> ${name}: array<vec4<f32>>;`,
    binding: { buffer: image.buffer, access: uniform ? "uniform" : "read", size: count * 16 },
  };
}
