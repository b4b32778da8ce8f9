/**
 * An image's channels put among others, zeros elsewhere, every stride-th pixel of every stride-th row alone:
 *
 *   y[n, h, w, c] = x[n, h stride, w stride, c - offset] where x has that channel, else 0
 *
 * It is the parameter-free shortcut of He et al. 2016a (option A), takes a part of the channels (offset below 0), and
 * joins images where its results are added. Its gradient is the way back: zeros where a pixel or channel went nowhere.
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, imageShape, quads, type Tensor } from "../graph/tensor.ts";

export interface ChannelPlacement {
  readonly name: string;
  /** Of the output. */
  readonly channels: number;
  /** The output's channel that the input's first becomes, a multiple of 4; default 0. */
  readonly offset?: number;
  /** Default 1. */
  readonly stride?: number;
}

/**
 * [N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), channels].
 * @throws {ShapeError} when x is no image, or the offset or the stride cannot be.
 */
export function placeChannels(graph: Graph, x: Tensor, placement: ChannelPlacement): Tensor {
  const { name, channels, offset = 0, stride = 1 } = placement;
  const fail = (detail: string): never => {
    throw new ShapeError("place_channels", detail);
  };
  if (x.shape.length !== 4) fail(`the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  if (!Number.isInteger(channels) || channels < 1) fail(`channels must be an integer of at least 1, got ${channels}`);
  if (!Number.isInteger(stride) || stride < 1) fail(`stride must be an integer of at least 1, got ${stride}`);
  if (offset % 4 !== 0) fail(`offset must be a multiple of 4, got ${offset}`);
  const [batch, height, width] = x.shape;
  const y = graph.value(
    name,
    [batch, Math.ceil(height / stride), Math.ceil(width / stride), channels],
    x.needsGradient,
  );
  graph.record(new PlaceChannels(graph, { x, y }, { down: stride, up: 1, shift: offset / 4 }));
  return y;
}

interface Mapping {
  readonly down: number;
  readonly up: number;
  /** In channel quads. */
  readonly shift: number;
}

export class PlaceChannels implements Operation {
  readonly kind = "place_channels";
  readonly description = "place_channels";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(readonly graph: Graph, { x, y }: { x: Tensor; y: Tensor }, readonly mapping: Mapping) {
    this.inputs = [x];
    this.outputs = [y];
  }

  lower(memory: Lowering): Kernel[] {
    const [x, y] = [memory.image(this.inputs[0]), memory.image(this.outputs[0])];
    const { down, up, shift } = this.mapping;
    return [{
      label: `${this.kind} ${y.height}x${y.width}x${y.channels}`,
      code: withElements(wgsl.placeChannels, y.elementType),
      constants: {
        HEIGHT: y.height,
        WIDTH: y.width,
        CHANNELS: y.channels,
        HALO: y.halo,
        X_HEIGHT: x.height,
        X_WIDTH: x.width,
        X_CHANNELS: x.channels,
        X_HALO: x.halo,
        DOWN: down,
        UP: up,
        SHIFT: shift,
      },
      bindings: [{ buffer: x.buffer, access: "read" }, { buffer: y.buffer, access: "read_write" }],
      workgroups: [Math.ceil(y.height * y.width * quads(y.channels) / 64), imageShape(this.outputs[0]).batch, 1],
    }];
  }

  backward(gradients: Backward): void {
    const [x, y] = [this.inputs[0], this.outputs[0]];
    const dOutput = gradients.dOutput(y);
    if (!dOutput) return;
    const dInput = this.graph.value(`d(${x.name})`, x.shape, false);
    const { down, up, shift } = this.mapping;
    this.graph.record(
      new PlaceChannels(this.graph, { x: dOutput, y: dInput }, { down: up, up: down, shift: -shift }),
    );
    gradients.accumulate(x, dInput);
  }
}
