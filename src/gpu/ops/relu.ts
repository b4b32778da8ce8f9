/**
 * y = max(x, 0); dx = dy where y > 0, else 0.
 */
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { imageShape, type Tensor } from "../graph/tensor.ts";
import { elementwiseKernel } from "./elementwise.ts";

/** max(x, 0), of any shape. */
export function relu(graph: Graph, name: string, x: Tensor): Tensor {
  const y = graph.value(name, x.shape, x.needsGradient);
  graph.record(new Relu(graph, x, y));
  return y;
}

class Relu implements Operation {
  readonly kind = "relu";
  readonly description = "relu";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];
  readonly #graph: Graph;

  constructor(graph: Graph, x: Tensor, y: Tensor) {
    this.#graph = graph;
    this.inputs = [x];
    this.outputs = [y];
  }

  lower(memory: Lowering): Kernel[] {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    return [elementwiseKernel({
      target: memory.target,
      label: this.kind,
      title: "output = max(x0, 0)",
      batch: imageShape(y).batch,
      inputs: [memory.image(x)],
      output: memory.image(y),
      expression: "max(x0, vec4<f32>())",
    })];
  }

  backward(gradients: Backward): void {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    const dOutput = gradients.dOutput(y);
    if (!dOutput) return;
    const dInput = this.#graph.value(`d(${x.name})`, x.shape, false);
    this.#graph.record(new ReluBackward(y, dOutput, dInput));
    gradients.accumulate(x, dInput);
  }
}

class ReluBackward implements Operation {
  readonly kind = "relu_backward";
  readonly description = "gradient of relu";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(y: Tensor, dOutput: Tensor, dInput: Tensor) {
    this.inputs = [y, dOutput];
    this.outputs = [dInput];
  }

  lower(memory: Lowering): Kernel[] {
    const [dInput] = this.outputs;
    return [elementwiseKernel({
      target: memory.target,
      label: this.kind,
      title: "output = x1 where x0 > 0, else 0",
      batch: imageShape(dInput).batch,
      inputs: this.inputs.map((tensor) => memory.image(tensor)),
      output: memory.image(dInput),
      expression: "select(vec4<f32>(), x1, x0 > vec4<f32>())",
    })];
  }
}
