/**
 * Batch normalisation over N, H and W (Ioffe and Szegedy 2015), with an optional ReLU on its output.
 *
 *   xhat = (x - mean) / sqrt(variance + eps);  y = gamma xhat + beta
 *
 * Gradients, with n = N H W and dy masked by the ReLU:
 *   dbeta = sum dy;  dgamma = sum dy xhat
 *   dx = gamma / sqrt(variance + eps) * (dy - dbeta / n - xhat dgamma / n)
 * Training uses the batch's variance (biased) and updates the running statistics (unbiased), as PyTorch does.
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { ImageBuffer, Kernel, ParameterRange, Target } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, imageShape, quads, type Tensor } from "../graph/tensor.ts";
import { type EpilogueOperation, fuseIntoConv2d, type PrologueOperation } from "./conv2d.ts";
import type { BoundEpilogue, BoundPrologue } from "./conv2d_problem.ts";
import { channelVectors, elementwiseKernel } from "./elementwise.ts";
import { rowSlices } from "./row_slices.ts";

const EPSILON = 1e-5;
const MOMENTUM = 0.1;

export interface BatchNormOptions {
  /** Adds `.weight`, `.bias`, `.running_mean` and `.running_var` for its four vectors. */
  readonly name: string;
  /** Whether to return max(y, 0). */
  readonly relu?: boolean;
}

interface Vectors {
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly runningMean: Tensor;
  readonly runningVariance: Tensor;
}

/**
 * Normalises x of [N, H, W, C]; records parameters and running statistics of [C].
 * @throws {ShapeError} when x is no image.
 */
export function batchNorm(graph: Graph, x: Tensor, options: BatchNormOptions): Tensor {
  if (x.shape.length !== 4) {
    throw new ShapeError("batch_norm", `the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  }
  const { name, relu = false } = options;
  const channels = [x.shape[3]];
  const vectors = {
    gamma: graph.parameter(`${name}.weight`, channels, {
      initializer: { kind: "constant", value: 1 },
      role: "batch_norm",
    }),
    beta: graph.parameter(`${name}.bias`, channels, {
      initializer: { kind: "constant", value: 0 },
      role: "batch_norm",
    }),
    runningMean: graph.state(`${name}.running_mean`, channels, { kind: "constant", value: 0 }),
    runningVariance: graph.state(`${name}.running_var`, channels, { kind: "constant", value: 1 }),
  };
  const y = graph.value(name, x.shape, true);
  if (graph.options.training) {
    // Rows: mean, 1 / sqrt(variance + eps), scale, shift.
    const statistics = graph.value(`${name}.statistics`, [4, x.shape[3]], false);
    graph.record(new BatchNormStatistics(x, statistics, vectors, graph.isRecomputing ? 0 : MOMENTUM));
    graph.record(new BatchNormTraining(graph, { x, statistics, y }, vectors, relu));
  } else {
    graph.record(new BatchNormInference(x, y, vectors, relu));
  }
  return y;
}

/** Statistics of the batch, and the running ones. */
class BatchNormStatistics implements Operation {
  readonly kind = "batch_norm_statistics";
  readonly description = "mean and variance";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly hasSideEffect = true;
  readonly #vectors: Vectors;
  /** How far the running statistics move to the batch's. */
  readonly #momentum: number;

  constructor(x: Tensor, statistics: Tensor, vectors: Vectors, momentum: number) {
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
class BatchNormTraining implements PrologueOperation {
  readonly kind = "batch_norm";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];
  readonly canBeReadThrough = true;
  readonly #graph: Graph;
  readonly #vectors: Vectors;
  readonly #relu: boolean;

  constructor(
    graph: Graph,
    { x, statistics, y }: { readonly x: Tensor; readonly statistics: Tensor; readonly y: Tensor },
    vectors: Vectors,
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

  constructor(tensors: BackwardTensors, { gamma, beta }: Vectors, relu: boolean) {
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

class BatchNormInference implements EpilogueOperation, PrologueOperation {
  readonly kind = "batch_norm";
  readonly canBeReadThrough = true;
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly #vectors: Vectors;
  readonly #relu: boolean;

  constructor(x: Tensor, y: Tensor, vectors: Vectors, relu: boolean) {
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

/** scale value + shift, of the two rows of `vectors` from `scaleRow` on, as readers compute it. */
function boundPrologue(
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
function normaliseKernel(
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
function bindVector(range: ParameterRange, access: "read" | "read_write") {
  return { buffer: range.buffer, offset: range.offset, size: quads(range.length) * 16, access };
}
