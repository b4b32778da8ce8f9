import { batchNorm, conv2d, type Graph, type Tensor } from "../../gpu/mod.ts";
import type { Activation } from "./block.ts";

/** One convolution of a block. */
export interface ConvLayer {
  readonly outputChannels: number;
  readonly kernel: 1 | 3;
  readonly stride?: number;
  readonly groups?: number;
}

/** BN - ReLU - convolution, the layer of a pre-activation block. `suffix` numbers the names: bn1, conv1. */
export function preActivationLayer(
  graph: Graph,
  u: Tensor,
  { prefix, suffix, layer }: { prefix: string; suffix: string; layer: ConvLayer },
): Tensor {
  const activated = batchNorm(graph, u, { name: `${prefix}.bn${suffix}`, relu: true });
  return convolve(graph, activated, `${prefix}.conv${suffix}`, layer);
}

/** Convolution - BN - ReLU (where `relu`), the layer of a post-activation block. */
export function postActivationLayer(
  graph: Graph,
  u: Tensor,
  { prefix, suffix, layer, relu }: { prefix: string; suffix: string; layer: ConvLayer; relu: boolean },
): Tensor {
  const convolved = convolve(graph, u, `${prefix}.conv${suffix}`, layer);
  return batchNorm(graph, convolved, { name: `${prefix}.bn${suffix}`, relu });
}

/** These convolutions in a row: the f of a block. */
export function convolutions(
  graph: Graph,
  u: Tensor,
  options: { readonly prefix: string; readonly layers: readonly ConvLayer[]; readonly activation: Activation },
): Tensor {
  const { prefix, layers, activation } = options;
  return layers.reduce((value, layer, i) => {
    const place = { prefix, suffix: `${i + 1}`, layer };
    return activation === "pre"
      ? preActivationLayer(graph, value, place)
      : postActivationLayer(graph, value, { ...place, relu: i < layers.length - 1 });
  }, u);
}

function convolve(graph: Graph, x: Tensor, name: string, layer: ConvLayer): Tensor {
  return conv2d(graph, x, { name, ...layer, padding: (layer.kernel - 1) / 2 });
}
