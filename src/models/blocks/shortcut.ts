import { conv2d, type Graph, placeChannels, type Tensor } from "../../gpu/mod.ts";
import type { Activation, TermShape } from "./block.ts";
import { postActivationLayer, preActivationLayer } from "./layers.ts";

/**
 * How u passes a change of shape:
 *
 * - `projection`: a 1x1 convolution with batch norm: BN-ReLU-1x1 before a pre-activation block, 1x1-BN otherwise
 * - `bare_projection`: a 1x1 convolution alone (He et al. 2016b, for ImageNet)
 * - `zero_pad`: every stride-th pixel, and zeros in the channels that are new (He et al. 2016a, option A)
 */
export type Shortcut = "projection" | "bare_projection" | "zero_pad";

export interface ShortcutOptions {
  /** Of the layers: "stage2.block0.projection". */
  readonly name: string;
  readonly shape: TermShape;
  readonly shortcut: Shortcut;
  readonly activation: Activation;
}

/** Brings u to the output's shape. */
export function recordShortcut(graph: Graph, u: Tensor, options: ShortcutOptions): Tensor {
  const { name, shape: { outputChannels, stride }, shortcut, activation } = options;
  const layer = { outputChannels, kernel: 1, stride } as const;
  switch (shortcut) {
    case "projection":
      return activation === "pre"
        ? preActivationLayer(graph, u, { prefix: name, suffix: "", layer })
        : postActivationLayer(graph, u, { prefix: name, suffix: "", layer, relu: false });
    case "bare_projection":
      return conv2d(graph, u, { name: `${name}.conv`, ...layer });
    case "zero_pad":
      return placeChannels(graph, u, { name, channels: outputChannels, stride });
  }
}
