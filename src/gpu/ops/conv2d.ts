/**
 * 2-D convolution (cross-correlation, as PyTorch's) over NHWC images with OIHW weights, dense or grouped, no bias.
 *
 *   y[n, oy, ox, o] = sum over ky, kx, i of x[n, oy s + ky - p, ox s + kx - p, i] w[o, i, ky, kx]
 *
 * Its gradients are convolutions too: dInput convolves dOutput with the flipped, transposed weights, and dWeight
 * correlates the input with dOutput.
 */
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel, Target } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, type Tensor } from "../graph/tensor.ts";
import type { BoundEpilogue, BoundPrologue } from "./conv2d_problem.ts";
import { lanesServe } from "./conv2d_lanes.ts";
import {
  conv2dHalos,
  type Conv2dProblem,
  fillsQuads,
  lowerConv2d,
  lowerConv2dBackwardInput,
  lowerConv2dBackwardWeight,
} from "./conv2d_lowering.ts";

export interface Conv2dOptions {
  /** Adds `.weight`. */
  readonly name: string;
  readonly outputChannels: number;
  /** Height and width, or both alike. */
  readonly kernel: number | readonly [number, number];
  /** Default 1. */
  readonly stride?: number;
  /** Pixels of zeros on each side; default 0. */
  readonly padding?: number;
  /** Default 1. */
  readonly groups?: number;
}

/**
 * Convolves x of [N, H, W, C] into [N, H', W', outputChannels], H' = floor((H + 2 padding - kernel) / stride) + 1.
 * Weights start from N(0, sqrt(2 / (kernel area * outputChannels))), as He et al. 2015 for the backward pass.
 * @throws {ShapeError} when the kernel does not fit, or groups do not divide the channels.
 */
export function conv2d(graph: Graph, x: Tensor, options: Conv2dOptions): Tensor {
  const problem = conv2dProblem(x, options);
  const { kernelHeight, kernelWidth, inputChannels, outputChannels, groups } = problem;
  const standardDeviation = Math.sqrt(2 / (kernelHeight * kernelWidth * outputChannels));
  const weight = graph.parameter(
    `${options.name}.weight`,
    [outputChannels, inputChannels / groups, kernelHeight, kernelWidth],
    { initializer: { kind: "normal", standardDeviation } },
  );
  const shape = [problem.batch, problem.outputHeight, problem.outputWidth, outputChannels];
  const y = graph.value(options.name, shape, true);
  graph.record(new Conv2d(graph, { x, weight, y }, problem));
  return y;
}

/** Validates and returns the sizes. @throws {ShapeError} */
function conv2dProblem(x: Tensor, options: Conv2dOptions): Conv2dProblem {
  const { outputChannels, stride = 1, padding = 0, groups = 1 } = options;
  const [kernelHeight, kernelWidth] = typeof options.kernel === "number"
    ? [options.kernel, options.kernel]
    : options.kernel;
  const fail = (detail: string): never => {
    throw new ShapeError("conv2d", detail);
  };
  if (x.shape.length !== 4) fail(`the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  const [batch, inputHeight, inputWidth, inputChannels] = x.shape;
  const positive = { kernelHeight, kernelWidth, stride, groups, outputChannels };
  for (const [what, value] of Object.entries(positive)) {
    if (!Number.isInteger(value) || value < 1) fail(`${what} must be an integer of at least 1, got ${value}`);
  }
  if (!Number.isInteger(padding) || padding < 0) fail(`padding must be an integer of at least 0, got ${padding}`);
  if (inputChannels % groups !== 0 || outputChannels % groups !== 0) {
    fail(`groups must divide the channels, got ${groups} groups for ${inputChannels} -> ${outputChannels} channels`);
  }
  const outputHeight = Math.floor((inputHeight + 2 * padding - kernelHeight) / stride) + 1;
  const outputWidth = Math.floor((inputWidth + 2 * padding - kernelWidth) / stride) + 1;
  if (outputHeight < 1 || outputWidth < 1) {
    fail(`a ${kernelHeight}x${kernelWidth} kernel does not fit ${inputHeight}x${inputWidth} with padding ${padding}`);
  }
  return {
    batch,
    inputHeight,
    inputWidth,
    inputChannels,
    outputHeight,
    outputWidth,
    outputChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
    groups,
  };
}

interface Conv2dTensors {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly y: Tensor;
}

/** What an operation that takes a convolution over does to its sums. */
export interface EpilogueOperation extends Operation {
  /** @param sums The convolution's output, one of its inputs. */
  epilogue(memory: Lowering, sums: Tensor): BoundEpilogue;
}

/** What an operation that a convolution takes over does to the values it reads. */
export interface PrologueOperation extends Operation {
  prologue(memory: Lowering): BoundPrologue;
}

/** `operation` computed in the kernel of the convolution that feeds it, where that can be. */
export function fuseIntoConv2d(producer: Operation, operation: EpilogueOperation): Operation | undefined {
  return producer instanceof Conv2d && fillsQuads(producer.problem)
    ? new FusedConv2d(producer, { after: operation })
    : undefined;
}

function isPrologue(operation: Operation): operation is PrologueOperation {
  return "prologue" in operation;
}

class Conv2d implements Operation {
  readonly kind = "conv2d";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly multiplyAdds: number;

  constructor(readonly graph: Graph, readonly tensors: Conv2dTensors, readonly problem: Conv2dProblem) {
    const { kernelHeight, kernelWidth, stride, groups } = problem;
    this.inputs = [tensors.x];
    this.parameters = [tensors.weight];
    this.outputs = [tensors.y];
    this.description = `conv2d ${kernelHeight}x${kernelWidth} stride ${stride}` +
      (groups > 1 ? ` groups ${groups}` : "");
    const outputs = problem.batch * problem.outputHeight * problem.outputWidth * problem.outputChannels;
    this.multiplyAdds = outputs * kernelHeight * kernelWidth * problem.inputChannels / groups;
  }

  haloOf(): number {
    return conv2dHalos(this.problem).input;
  }

  readThrough(producer: Operation, target: Target): Operation | undefined {
    return isPrologue(producer) && lanesServe(this.problem, target)
      ? new FusedConv2d(this, { before: producer })
      : undefined;
  }

  lower(memory: Lowering): Kernel[] {
    return this.lowerBetween(memory, { x: this.tensors.x, y: this.tensors.y });
  }

  /** Reads `x` through the prologue and writes `y` through the epilogue. */
  lowerBetween(
    memory: Lowering,
    { x, y }: { readonly x: Tensor; readonly y: Tensor },
    fused: { readonly epilogue?: BoundEpilogue; readonly prologue?: BoundPrologue } = {},
  ): Kernel[] {
    const io = { input: memory.image(x), weight: memory.parameter(this.tensors.weight), output: memory.image(y) };
    return lowerConv2d(this.problem, io, memory.target, memory, fused);
  }

  backward(gradients: Backward): void {
    const { x, weight, y } = this.tensors;
    const dOutput = gradients.dOutput(y);
    if (!dOutput) return;
    this.graph.record(new Conv2dBackwardWeight({ x, weight, dOutput }, this.problem));
    if (!x.needsGradient) return;
    const dInput = this.graph.value(`d(${x.name})`, x.shape, false);
    this.graph.record(new Conv2dBackwardInput({ dOutput, weight, dInput }, this.problem));
    gradients.accumulate(x, dInput);
  }
}

interface FusedParts {
  readonly before?: PrologueOperation;
  readonly after?: EpilogueOperation;
}

/** A convolution with what feeds it, or what alone reads it, in its kernel. */
class FusedConv2d implements Operation {
  readonly kind = "conv2d";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly #x: Tensor;

  constructor(readonly conv: Conv2d, readonly parts: FusedParts) {
    const { before, after } = parts;
    const { x, y } = conv.tensors;
    this.#x = before?.inputs[0] ?? x;
    this.inputs = [...(before?.inputs ?? [x]), ...(after?.inputs ?? []).filter((input) => input !== y)];
    this.parameters = [before, conv, after].flatMap((operation) => operation?.parameters ?? []);
    this.outputs = after?.outputs ?? conv.outputs;
    this.description = [before, conv, after].flatMap((operation) => operation?.description ?? []).join(", ");
  }

  haloOf(input: Tensor): number {
    return input === this.#x ? this.conv.haloOf() : 0;
  }

  readThrough(producer: Operation, target: Target): Operation | undefined {
    const [output] = producer.outputs;
    const serves = isPrologue(producer) && output === this.#x && !this.parts.after?.inputs.includes(output) &&
      lanesServe(this.conv.problem, target);
    return serves ? new FusedConv2d(this.conv, { ...this.parts, before: producer }) : undefined;
  }

  lower(memory: Lowering): Kernel[] {
    const prologue = this.parts.before?.prologue(memory);
    const epilogue = this.parts.after?.epilogue(memory, this.conv.tensors.y);
    // What they prepare comes first.
    return [
      ...(prologue?.before ?? []),
      ...(epilogue?.before ?? []),
      ...this.conv.lowerBetween(memory, { x: this.#x, y: this.outputs[0] }, { prologue, epilogue }),
    ];
  }
}

class Conv2dBackwardInput implements Operation {
  readonly kind = "conv2d_backward_input";
  readonly description = "gradient of conv2d by its input";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];

  constructor(
    readonly tensors: { readonly dOutput: Tensor; readonly weight: Tensor; readonly dInput: Tensor },
    readonly problem: Conv2dProblem,
  ) {
    this.inputs = [tensors.dOutput];
    this.parameters = [tensors.weight];
    this.outputs = [tensors.dInput];
  }

  haloOf(): number {
    return conv2dHalos(this.problem).dOutput;
  }

  lower(memory: Lowering): Kernel[] {
    const { dOutput, weight, dInput } = this.tensors;
    const io = { dOutput: memory.image(dOutput), weight: memory.parameter(weight), dInput: memory.image(dInput) };
    return lowerConv2dBackwardInput(this.problem, io, memory.target, memory);
  }
}

class Conv2dBackwardWeight implements Operation {
  readonly kind = "conv2d_backward_weight";
  readonly description = "gradient of conv2d by its weight";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly parameterGradients: readonly Tensor[];
  readonly outputs = [];
  readonly #x: Tensor;

  constructor(
    readonly tensors: { readonly x: Tensor; readonly weight: Tensor; readonly dOutput: Tensor },
    readonly problem: Conv2dProblem,
    readonly before?: PrologueOperation,
  ) {
    this.#x = before?.inputs[0] ?? tensors.x;
    this.inputs = [...(before?.inputs ?? [tensors.x]), tensors.dOutput];
    this.parameters = [tensors.weight];
    this.parameterGradients = [tensors.weight];
  }

  haloOf(input: Tensor): number {
    return input === this.#x ? conv2dHalos(this.problem).input : 0;
  }

  readThrough(producer: Operation, target: Target): Operation | undefined {
    const serves = isPrologue(producer) && producer.outputs[0] === this.tensors.x && lanesServe(this.problem, target);
    return serves ? new Conv2dBackwardWeight(this.tensors, this.problem, producer) : undefined;
  }

  lower(memory: Lowering): Kernel[] {
    const { weight, dOutput } = this.tensors;
    const prologue = this.before?.prologue(memory);
    const io = { input: memory.image(this.#x), dOutput: memory.image(dOutput), dWeight: memory.gradient(weight) };
    return [
      ...(prologue?.before ?? []),
      ...lowerConv2dBackwardWeight(this.problem, io, memory.target, memory, prologue),
    ];
  }
}
