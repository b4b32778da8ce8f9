/**
 * y = x + sigma z, with z from N(0, 1) or U(0, 1), drawn anew for every value and step; dx = dy.
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Draw } from "../graph/draw.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, imageShape, quads, type Tensor } from "../graph/tensor.ts";
import { PURPOSE } from "./random.ts";

export interface NoiseOptions {
  readonly name: string;
  readonly distribution: "gaussian" | "uniform";
  readonly sigma: number;
  /** What the noise follows from, besides the place of a value in the batch: an integer below 2^24. */
  readonly salt: Draw;
}

/**
 * x of [N, H, W, C] with noise.
 * @throws {ShapeError} when x is no image.
 */
export function addNoise(graph: Graph, x: Tensor, options: NoiseOptions): Tensor {
  if (x.shape.length !== 4) {
    throw new ShapeError("add_noise", `the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  }
  const y = graph.value(options.name, x.shape, x.needsGradient);
  graph.record(new AddNoise(x, y, options));
  return y;
}

class AddNoise implements Operation {
  readonly kind = "add_noise";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(x: Tensor, y: Tensor, readonly options: NoiseOptions) {
    this.inputs = [x];
    this.outputs = [y];
    this.description = `${options.distribution} noise`;
  }

  lower(memory: Lowering): Kernel[] {
    const [x, y] = [memory.image(this.inputs[0]), memory.image(this.outputs[0])];
    const { distribution, sigma, salt } = this.options;
    return [{
      label: `${this.kind} ${y.height}x${y.width}x${y.channels}`,
      code: withElements(wgsl.addNoise, y.elementType),
      constants: {
        HEIGHT: y.height,
        WIDTH: y.width,
        CHANNELS: y.channels,
        X_HALO: x.halo,
        Y_HALO: y.halo,
        SIGMA: sigma,
        GAUSSIAN: distribution === "gaussian" ? 1 : 0,
        PURPOSE: PURPOSE.noise,
      },
      bindings: [
        { buffer: x.buffer, access: "read" },
        { buffer: salt.buffer, offset: salt.offset, size: 16, access: "uniform" },
        { buffer: y.buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(y.height * y.width * quads(y.channels) / 64), imageShape(this.outputs[0]).batch, 1],
    }];
  }

  backward(gradients: Backward): void {
    const dOutput = gradients.dOutput(this.outputs[0]);
    if (dOutput) gradients.accumulate(this.inputs[0], dOutput);
  }
}
