/**
 * The maximum over square windows, pixels outside the image left out:
 *
 *   y[n, oy, ox, c] = max over ky, kx of x[n, oy s + ky - p, ox s + kx - p, c]
 *
 * The gradient of a window goes to its maximum, to the first one of several (in the order of ky, kx), as PyTorch's does.
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, imageShape, quads, type Tensor } from "../graph/tensor.ts";

export interface MaxPool2dOptions {
  readonly name: string;
  /** Height and width of a window. */
  readonly kernel: number;
  readonly stride: number;
  /** At most half the kernel, so that every window has a pixel. */
  readonly padding: number;
}

/**
 * [N, H, W, C] to [N, H', W', C], H' = floor((H + 2 padding - kernel) / stride) + 1.
 * @throws {ShapeError} when the window does not fit.
 */
export function maxPool2d(graph: Graph, x: Tensor, options: MaxPool2dOptions): Tensor {
  const { name, kernel, stride, padding } = options;
  const fail = (detail: string): never => {
    throw new ShapeError("max_pool2d", detail);
  };
  if (x.shape.length !== 4) fail(`the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  for (const [what, value] of Object.entries({ kernel, stride })) {
    if (!Number.isInteger(value) || value < 1) fail(`${what} must be an integer of at least 1, got ${value}`);
  }
  if (!Number.isInteger(padding) || padding < 0 || padding > kernel / 2) {
    fail(`padding must be an integer from 0 to half the kernel of ${kernel}, got ${padding}`);
  }
  const [batch, height, width, channels] = x.shape;
  const extent = (length: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  if (extent(height) < 1 || extent(width) < 1) {
    fail(`a ${kernel}x${kernel} window does not fit ${height}x${width} with padding ${padding}`);
  }
  const y = graph.value(name, [batch, extent(height), extent(width), channels], x.needsGradient);
  graph.record(new MaxPool2d(graph, { x, y }, options));
  return y;
}

class MaxPool2d implements Operation {
  readonly kind = "max_pool2d";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(readonly graph: Graph, { x, y }: { x: Tensor; y: Tensor }, readonly options: MaxPool2dOptions) {
    this.inputs = [x];
    this.outputs = [y];
    this.description = `max_pool2d ${options.kernel}x${options.kernel} stride ${options.stride}`;
  }

  lower(memory: Lowering): Kernel[] {
    const [x, y] = [memory.image(this.inputs[0]), memory.image(this.outputs[0])];
    const c4 = quads(y.channels);
    return [{
      label: `${this.kind} ${y.height}x${y.width}x${y.channels}`,
      code: withElements(wgsl.maxPool2d, y.elementType),
      constants: {
        C4: c4,
        HEIGHT: y.height,
        WIDTH: y.width,
        HALO: y.halo,
        X_HEIGHT: x.height,
        X_WIDTH: x.width,
        X_HALO: x.halo,
        ...windowConstants(this.options),
      },
      bindings: [{ buffer: x.buffer, access: "read" }, { buffer: y.buffer, access: "read_write" }],
      workgroups: [Math.ceil(y.height * y.width * c4 / 64), imageShape(this.outputs[0]).batch, 1],
    }];
  }

  backward(gradients: Backward): void {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    const dOutput = gradients.dOutput(y);
    if (!dOutput || !x.needsGradient) return;
    const dInput = this.graph.value(`d(${x.name})`, x.shape, false);
    this.graph.record(new MaxPool2dBackward({ x, dOutput, dInput }, this.options));
    gradients.accumulate(x, dInput);
  }
}

class MaxPool2dBackward implements Operation {
  readonly kind = "max_pool2d_backward";
  readonly description = "gradient of max_pool2d";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(
    { x, dOutput, dInput }: { x: Tensor; dOutput: Tensor; dInput: Tensor },
    readonly options: MaxPool2dOptions,
  ) {
    this.inputs = [x, dOutput];
    this.outputs = [dInput];
  }

  lower(memory: Lowering): Kernel[] {
    const [x, dy] = this.inputs.map((tensor) => memory.image(tensor));
    const dx = memory.image(this.outputs[0]);
    const c4 = quads(dx.channels);
    return [{
      label: `${this.kind} ${dx.height}x${dx.width}x${dx.channels}`,
      code: withElements(wgsl.maxPool2dBackward, dx.elementType),
      constants: {
        C4: c4,
        HEIGHT: dx.height,
        WIDTH: dx.width,
        X_HALO: x.halo,
        DX_HALO: dx.halo,
        DY_HEIGHT: dy.height,
        DY_WIDTH: dy.width,
        DY_HALO: dy.halo,
        ...windowConstants(this.options),
      },
      bindings: [
        { buffer: x.buffer, access: "read" },
        { buffer: dy.buffer, access: "read" },
        { buffer: dx.buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(dx.height * dx.width * c4 / 64), imageShape(this.outputs[0]).batch, 1],
    }];
  }
}

function windowConstants({ kernel, stride, padding }: MaxPool2dOptions): Record<string, number> {
  return { KERNEL: kernel, STRIDE: stride, PADDING: padding };
}
