/** What batch norm of training and of inference share: its vectors, and scale x + shift as a kernel or as readers do it. */
import type { ImageBuffer, Kernel, ParameterRange, Target } from "../graph/kernel.ts";
import type { Lowering } from "../graph/operation.ts";
import { imageShape, quads, type Tensor } from "../graph/tensor.ts";
import type { BoundPrologue } from "./conv2d_problem.ts";
import { channelVectors, elementwiseKernel } from "./elementwise.ts";

export const EPSILON = 1e-5;

/** Parameters and running statistics, of [C] each. */
export interface BatchNormVectors {
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly runningMean: Tensor;
  readonly runningVariance: Tensor;
}

/** scale value + shift, of the two rows of `vectors` from `scaleRow` on, as readers compute it. */
export function boundPrologue(
  vectors: ImageBuffer,
  { scaleRow, relu, target }: { readonly scaleRow: number; readonly relu: boolean; readonly target: Target },
): BoundPrologue {
  const { declaration, binding } = channelVectors("before", vectors, scaleRow + 2, target);
  const c4 = quads(vectors.channels);
  return {
    declarations: [declaration],
    bindings: [binding],
    before: [],
    vectors: (c) => [`before[${scaleRow * c4}u + ${c}]`, `before[${(scaleRow + 1) * c4}u + ${c}]`],
    expression: relu ? "max(fma(value, p0, p1), vec4<f32>())" : "fma(value, p0, p1)",
  };
}

/** y = scale x + shift, of the two rows of `vectors` from `scaleRow` on. */
export function normaliseKernel(
  memory: Lowering,
  options: {
    readonly x: Tensor;
    readonly y: Tensor;
    readonly vectors: ImageBuffer;
    readonly scaleRow: number;
    readonly relu: boolean;
  },
): Kernel {
  const { x, y, vectors, scaleRow, relu } = options;
  const value = "x0 * scale + shift";
  return elementwiseKernel({
    target: memory.target,
    label: relu ? "batch_norm normalise, relu" : "batch_norm normalise",
    title: `output = ${relu ? `max(${value}, 0)` : value}`,
    batch: imageShape(x).batch,
    inputs: [memory.image(x)],
    output: memory.image(y),
    extra: [channelVectors("vectors", vectors, scaleRow + 2, memory.target)],
    prologue: `let scale = vectors[${scaleRow}u * C4 + c]; let shift = vectors[${scaleRow + 1}u * C4 + c];`,
    expression: relu ? `max(${value}, vec4<f32>())` : value,
  });
}

/** Binds a [C] vector to its padding's end, so that it reads as whole quads. */
export function bindVector(range: ParameterRange, access: "read" | "read_write") {
  return { buffer: range.buffer, offset: range.offset, size: quads(range.length) * 16, access };
}
