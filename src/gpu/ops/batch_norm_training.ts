/** Batch norm by the statistics of the batch, and its gradients; `batch_norm.ts` has the formulas. */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { imageShape, quads, type Tensor } from "../graph/tensor.ts";
import { type BatchNormVectors, bindVector, boundPrologue, EPSILON, normaliseKernel } from "./batch_norm_vectors.ts";
import type { PrologueOperation } from "./conv2d.ts";
import type { BoundPrologue } from "./conv2d_problem.ts";
import { channelVectors, elementwiseKernel } from "./elementwise.ts";
import { rowSlices } from "./row_slices.ts";

/** Statistics of the batch, and the running ones. */
export class BatchNormStatistics implements Operation {
  readonly kind = "batch_norm_statistics";
  readonly description = "mean and variance";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly hasSideEffect = true;
  readonly #vectors: BatchNormVectors;
  /** How far the running statistics move to the batch's. */
  readonly #momentum: number;

  constructor(x: Tensor, statistics: Tensor, vectors: BatchNormVectors, momentum: number) {
    this.#vectors = vectors;
    this.#momentum = momentum;
    this.inputs = [x];
    this.parameters = [vectors.gamma, vectors.beta];
    this.outputs = [statistics];
  }

  lower(memory: Lowering): Kernel[] {
    const shape = imageShape(this.inputs[0]);
    const slices = rowSlices(shape, memory.target);
    const c4 = quads(shape.channels);
    const partials = memory.scratch("batch_norm partials", slices.SLICES * 2 * c4 * 16);
    const image = memory.image(this.inputs[0]);
    const { gamma, beta, runningMean, runningVariance } = this.#vectors;
    return [{
      label: "batch_norm statistics",
      code: withElements(wgsl.batchNormStatistics, image.elementType),
      constants: { C4: c4, HEIGHT: shape.height, WIDTH: shape.width, HALO: image.halo, ...slices },
      bindings: [{ buffer: image.buffer, access: "read" }, { buffer: partials, access: "read_write" }],
      workgroups: [Math.ceil(slices.SLICES * c4 / 16), 1, 1],
    }, {
      label: "batch_norm finalize",
      code: wgsl.batchNormFinalize,
      constants: { C4: c4, WIDTH: shape.width, ...slices, EPSILON, MOMENTUM: this.#momentum },
      bindings: [
        { buffer: partials, access: "read" },
        bindVector(memory.parameter(gamma), "read"),
        bindVector(memory.parameter(beta), "read"),
        bindVector(memory.state(runningMean), "read_write"),
        bindVector(memory.state(runningVariance), "read_write"),
        { buffer: memory.image(this.outputs[0]).buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(c4 / 16), 1, 1],
    }];
  }
}

/** Normalises by the batch's statistics. */
export class BatchNormTraining implements PrologueOperation {
  readonly kind = "batch_norm";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];
  readonly canBeReadThrough = true;
  readonly #graph: Graph;
  readonly #vectors: BatchNormVectors;
  readonly #relu: boolean;

  constructor(
    graph: Graph,
    { x, statistics, y }: { readonly x: Tensor; readonly statistics: Tensor; readonly y: Tensor },
    vectors: BatchNormVectors,
    relu: boolean,
  ) {
    this.#graph = graph;
    this.#vectors = vectors;
    this.#relu = relu;
    this.inputs = [x, statistics];
    this.outputs = [y];
    this.description = relu ? "batch_norm, relu" : "batch_norm";
  }

  lower(memory: Lowering): Kernel[] {
    const [x, statistics] = this.inputs;
    const vectors = memory.image(statistics);
    return [normaliseKernel(memory, { x, y: this.outputs[0], vectors, scaleRow: 2, relu: this.#relu })];
  }

  prologue(memory: Lowering): BoundPrologue {
    return boundPrologue(memory.image(this.inputs[1]), { scaleRow: 2, relu: this.#relu, target: memory.target });
  }

  backward(gradients: Backward): void {
    const [x, statistics] = this.inputs;
    const [y] = this.outputs;
    const dOutput = gradients.dOutput(y);
    if (!dOutput) return;
    const dInput = this.#graph.value(`d(${x.name})`, x.shape, false);
    const factors = this.#graph.value(`${y.name}.factors`, [4, x.shape[3]], false);
    const tensors = { x, statistics, dOutput, dInput, factors };
    this.#graph.record(new BatchNormBackward(tensors, this.#vectors, this.#relu));
    gradients.accumulate(x, dInput);
  }
}

interface BackwardTensors {
  readonly x: Tensor;
  readonly statistics: Tensor;
  readonly dOutput: Tensor;
  readonly dInput: Tensor;
  readonly factors: Tensor;
}

class BatchNormBackward implements Operation {
  readonly kind = "batch_norm_backward";
  readonly description = "gradient of batch_norm";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly parameterGradients: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly #tensors: BackwardTensors;
  readonly #relu: boolean;

  constructor(tensors: BackwardTensors, { gamma, beta }: BatchNormVectors, relu: boolean) {
    this.#tensors = tensors;
    this.#relu = relu;
    this.inputs = [tensors.x, tensors.statistics, tensors.dOutput];
    this.parameters = [gamma, beta];
    this.parameterGradients = [gamma, beta];
    this.outputs = [tensors.dInput, tensors.factors];
  }

  lower(memory: Lowering): Kernel[] {
    const shape = imageShape(this.#tensors.x);
    const slices = rowSlices(shape, memory.target);
    const c4 = quads(shape.channels);
    const partials = memory.scratch("batch_norm_backward partials", slices.SLICES * 2 * c4 * 16);
    const x = memory.image(this.#tensors.x);
    const dOutput = memory.image(this.#tensors.dOutput);
    const statistics = memory.image(this.#tensors.statistics);
    const factors = memory.image(this.#tensors.factors);
    const [gamma, beta] = this.parameters;
    return [{
      label: "batch_norm_backward reduce",
      code: withElements(wgsl.batchNormBackwardReduce, x.elementType),
      constants: {
        C4: c4,
        HEIGHT: shape.height,
        WIDTH: shape.width,
        X_HALO: x.halo,
        DY_HALO: dOutput.halo,
        ...slices,
        RELU: this.#relu ? 1 : 0,
      },
      bindings: [
        { buffer: x.buffer, access: "read" },
        { buffer: dOutput.buffer, access: "read" },
        { buffer: statistics.buffer, access: "read" },
        { buffer: partials, access: "read_write" },
      ],
      workgroups: [Math.ceil(slices.SLICES * c4 / 16), 1, 1],
    }, {
      label: "batch_norm_backward finalize",
      code: wgsl.batchNormBackwardFinalize,
      constants: { C4: c4, COUNT: shape.batch * shape.height * shape.width, SLICES: slices.SLICES },
      bindings: [
        { buffer: partials, access: "read" },
        { buffer: statistics.buffer, access: "read" },
        bindVector(memory.gradient(gamma), "read_write"),
        bindVector(memory.gradient(beta), "read_write"),
        { buffer: factors.buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(c4 / 16), 1, 1],
    }, this.#dInputKernel(memory)];
  }

  #dInputKernel(memory: Lowering): Kernel {
    const { x, dOutput, dInput, factors } = this.#tensors;
    const masked = this.#relu ? "select(vec4<f32>(), x1, x0 * scale + shift > vec4<f32>())" : "x1";
    return elementwiseKernel({
      target: memory.target,
      label: this.kind,
      title: "dx = scale dy + slope x + offset; x0 = x, x1 = dy",
      batch: imageShape(x).batch,
      inputs: [memory.image(x), memory.image(dOutput)],
      output: memory.image(dInput),
      extra: [channelVectors("factors", memory.image(factors), 4, memory.target)],
      prologue: "let scale = factors[c]; let slope = factors[C4 + c]; let offset = factors[2u * C4 + c];" +
        (this.#relu ? " let shift = factors[3u * C4 + c];" : ""),
      expression: `scale * ${masked} + slope * x0 + offset`,
    });
  }
}
