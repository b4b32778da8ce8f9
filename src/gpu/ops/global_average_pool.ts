/**
 * y[n, c] = mean over the pixels of x[n, :, :, c]; dx[n, h, w, c] = dy[n, c] / (H W).
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, imageShape, quads, type Tensor } from "../graph/tensor.ts";
import { elementwiseKernel } from "./elementwise.ts";

/**
 * [N, H, W, C] to [N, C].
 * @throws {ShapeError} when x is no image.
 */
export function globalAveragePool(graph: Graph, name: string, x: Tensor): Tensor {
  if (x.shape.length !== 4) {
    throw new ShapeError("global_average_pool", `the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  }
  const y = graph.value(name, [x.shape[0], x.shape[3]], x.needsGradient);
  graph.record(new GlobalAveragePool(graph, x, y));
  return y;
}

class GlobalAveragePool implements Operation {
  readonly kind = "global_average_pool";
  readonly description = "global_average_pool";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(readonly graph: Graph, x: Tensor, y: Tensor) {
    this.inputs = [x];
    this.outputs = [y];
  }

  lower(memory: Lowering): Kernel[] {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    const shape = imageShape(x);
    const c4 = quads(shape.channels);
    const image = memory.image(x);
    return [{
      label: this.kind,
      code: withElements(wgsl.globalAveragePool, image.elementType),
      constants: { C4: c4, HEIGHT: shape.height, WIDTH: shape.width, HALO: image.halo },
      bindings: [{ buffer: image.buffer, access: "read" }, { buffer: memory.image(y).buffer, access: "read_write" }],
      workgroups: [Math.ceil(c4 / 16), shape.batch, 1],
    }];
  }

  backward(gradients: Backward): void {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    const dOutput = gradients.dOutput(y);
    if (!dOutput) return;
    const dInput = this.graph.value(`d(${x.name})`, x.shape, false);
    this.graph.record(new GlobalAveragePoolBackward(dOutput, dInput));
    gradients.accumulate(x, dInput);
  }
}

class GlobalAveragePoolBackward implements Operation {
  readonly kind = "global_average_pool_backward";
  readonly description = "gradient of global_average_pool";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(dOutput: Tensor, dInput: Tensor) {
    this.inputs = [dOutput];
    this.outputs = [dInput];
  }

  lower(memory: Lowering): Kernel[] {
    const [dInput] = this.outputs;
    const { batch, height, width } = imageShape(dInput);
    return [elementwiseKernel({
      target: memory.target,
      label: this.kind,
      title: "output = x0 / pixels, x0 one pixel an image",
      batch,
      inputs: [memory.image(this.inputs[0])],
      output: memory.image(dInput),
      expression: `x0 * ${1 / (height * width)}`,
    })];
  }
}
