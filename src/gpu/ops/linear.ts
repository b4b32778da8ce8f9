/**
 * y = x W^T + b. Gradients: dx = dy W, dW = dy^T x, db = sum of dy over the rows.
 */
import { wgsl } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Binding, Kernel, ParameterRange } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, quads, type Tensor } from "../graph/tensor.ts";

export interface LinearOptions {
  /** Adds `.weight` of [out, in] and `.bias` of [out]. */
  readonly name: string;
  readonly outputs: number;
}

/**
 * [N, in] to [N, out]. Weight and bias start from U(-1/sqrt(in), 1/sqrt(in)), PyTorch's default.
 * @throws {ShapeError} when x is no matrix.
 */
export function linear(graph: Graph, x: Tensor, options: LinearOptions): Tensor {
  if (x.shape.length !== 2) throw new ShapeError("linear", `the input must be [N, C], got ${formatShape(x.shape)}`);
  const [batch, inputs] = x.shape;
  const { name, outputs } = options;
  if (!Number.isInteger(outputs) || outputs < 1) {
    throw new ShapeError("linear", `outputs must be an integer of at least 1, got ${outputs}`);
  }
  const bound = 1 / Math.sqrt(inputs);
  const initializer = { kind: "uniform", low: -bound, high: bound } as const;
  const weight = graph.parameter(`${name}.weight`, [outputs, inputs], { initializer });
  const bias = graph.parameter(`${name}.bias`, [outputs], { initializer, role: "bias" });
  const y = graph.value(name, [batch, outputs], true);
  graph.record(new Linear(graph, { x, weight, bias, y }));
  return y;
}

interface LinearTensors {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly y: Tensor;
}

class Linear implements Operation {
  readonly kind = "linear";
  readonly description = "linear";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly multiplyAdds: number;

  constructor(readonly graph: Graph, readonly tensors: LinearTensors) {
    const { x, weight, bias, y } = tensors;
    this.inputs = [x];
    this.parameters = [weight, bias];
    this.outputs = [y];
    this.multiplyAdds = x.shape[0] * x.shape[1] * y.shape[1];
  }

  lower(memory: Lowering): Kernel[] {
    const { x, weight, bias, y } = this.tensors;
    const [batch, outputs] = y.shape;
    return [{
      label: this.kind,
      code: wgsl.linear,
      constants: { IN: x.shape[1], OUT: outputs },
      bindings: [
        { buffer: memory.image(x).buffer, access: "read" },
        bindRange(memory.parameter(weight), "read"),
        bindRange(memory.parameter(bias), "read"),
        { buffer: memory.image(y).buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(quads(outputs) / 16), batch, 1],
    }];
  }

  backward(gradients: Backward): void {
    const { x, weight, bias, y } = this.tensors;
    const dOutput = gradients.dOutput(y);
    if (!dOutput) return;
    this.graph.record(new LinearBackwardWeight({ x, weight, bias, dOutput }));
    if (!x.needsGradient) return;
    const dInput = this.graph.value(`d(${x.name})`, x.shape, false);
    this.graph.record(new LinearBackwardInput({ weight, dOutput, dInput }));
    gradients.accumulate(x, dInput);
  }
}

class LinearBackwardInput implements Operation {
  readonly kind = "linear_backward_input";
  readonly description = "gradient of linear by its input";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];

  constructor(readonly tensors: { readonly weight: Tensor; readonly dOutput: Tensor; readonly dInput: Tensor }) {
    this.inputs = [tensors.dOutput];
    this.parameters = [tensors.weight];
    this.outputs = [tensors.dInput];
  }

  lower(memory: Lowering): Kernel[] {
    const { weight, dOutput, dInput } = this.tensors;
    const [batch, inputs] = dInput.shape;
    return [{
      label: this.kind,
      code: wgsl.linearBackwardInput,
      constants: { IN: inputs, OUT: dOutput.shape[1] },
      bindings: [
        { buffer: memory.image(dOutput).buffer, access: "read" },
        bindRange(memory.parameter(weight), "read"),
        { buffer: memory.image(dInput).buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(quads(inputs) / 16), batch, 1],
    }];
  }
}

class LinearBackwardWeight implements Operation {
  readonly kind = "linear_backward_weight";
  readonly description = "gradient of linear by its weight and bias";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly parameterGradients: readonly Tensor[];
  readonly outputs = [];

  constructor(
    readonly tensors: {
      readonly x: Tensor;
      readonly weight: Tensor;
      readonly bias: Tensor;
      readonly dOutput: Tensor;
    },
  ) {
    this.inputs = [tensors.x, tensors.dOutput];
    this.parameters = [tensors.weight, tensors.bias];
    this.parameterGradients = this.parameters;
  }

  lower(memory: Lowering): Kernel[] {
    const { x, weight, bias, dOutput } = this.tensors;
    const [batch, inputs] = x.shape;
    const outputs = dOutput.shape[1];
    return [{
      label: this.kind,
      code: wgsl.linearBackwardWeight,
      constants: { BATCH: batch, IN: inputs, OUT: outputs },
      bindings: [
        { buffer: memory.image(x).buffer, access: "read" },
        { buffer: memory.image(dOutput).buffer, access: "read" },
        bindRange(memory.gradient(weight), "read_write"),
        bindRange(memory.gradient(bias), "read_write"),
      ],
      workgroups: [Math.ceil(inputs / 16), outputs, 1],
    }];
  }
}

function bindRange(range: ParameterRange, access: "read" | "read_write"): Binding {
  return { buffer: range.buffer, offset: range.offset, size: range.length * 4, access };
}
