/** Batch norm by the running statistics. */
import { wgsl } from "../../wgsl/mod.ts";
import type { ImageBuffer, Kernel } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import { imageShape, quads, type Tensor } from "../graph/tensor.ts";
import { type BatchNormVectors, bindVector, boundPrologue, EPSILON, normaliseKernel } from "./batch_norm_vectors.ts";
import { type EpilogueOperation, fuseIntoConv2d, type PrologueOperation } from "./conv2d.ts";
import type { BoundEpilogue, BoundPrologue } from "./conv2d_problem.ts";
import { channelVectors } from "./elementwise.ts";

/** Normalises by the running statistics: a scale and a shift, which convolutions take into their kernels. */
export class BatchNormInference implements EpilogueOperation, PrologueOperation {
  readonly kind = "batch_norm";
  readonly canBeReadThrough = true;
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly #vectors: BatchNormVectors;
  readonly #relu: boolean;

  constructor(x: Tensor, y: Tensor, vectors: BatchNormVectors, relu: boolean) {
    this.#vectors = vectors;
    this.#relu = relu;
    this.inputs = [x];
    this.parameters = [vectors.gamma, vectors.beta];
    this.outputs = [y];
    this.description = relu ? "batch_norm, relu" : "batch_norm";
  }

  lower(memory: Lowering): Kernel[] {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    const { vectors, kernel } = this.#fold(memory);
    return [kernel, normaliseKernel(memory, { x, y, vectors, scaleRow: 0, relu: this.#relu })];
  }

  fuse(producer: Operation): Operation | undefined {
    return fuseIntoConv2d(producer, this);
  }

  epilogue(memory: Lowering): BoundEpilogue {
    const { vectors, kernel } = this.#fold(memory);
    const { declaration, binding } = channelVectors("folded", vectors, 2, memory.target);
    const c4 = quads(vectors.channels);
    return {
      inputs: [],
      declarations: [declaration],
      bindings: [binding],
      before: [kernel],
      vectors: (c) => [`folded[${c}]`, `folded[${c4}u + ${c}]`],
      expression: this.#relu ? "max(fma(value, v0, v1), vec4<f32>())" : "fma(value, v0, v1)",
    };
  }

  prologue(memory: Lowering): BoundPrologue {
    const { vectors, kernel } = this.#fold(memory);
    return { ...boundPrologue(vectors, { scaleRow: 0, relu: this.#relu, target: memory.target }), before: [kernel] };
  }

  /** Scale and shift by the running statistics, and the kernel that computes them. */
  #fold(memory: Lowering): { readonly vectors: ImageBuffer; readonly kernel: Kernel } {
    const channels = imageShape(this.inputs[0]).channels;
    const c4 = quads(channels);
    const folded = memory.packed(`${this.outputs[0].name} folded`, 2 * c4 * 16);
    const { gamma, beta, runningMean, runningVariance } = this.#vectors;
    const kernel: Kernel = {
      label: "batch_norm fold",
      code: wgsl.batchNormFold,
      constants: { C4: c4, EPSILON },
      bindings: [
        bindVector(memory.parameter(gamma), "read"),
        bindVector(memory.parameter(beta), "read"),
        bindVector(memory.state(runningMean), "read"),
        bindVector(memory.state(runningVariance), "read"),
        { buffer: folded, access: "read_write" },
      ],
      workgroups: [Math.ceil(c4 / 16), 1, 1],
      parametersOnly: true,
    };
    return { vectors: { buffer: folded, height: 1, width: 1, channels, halo: 0 }, kernel };
  }
}
