import { batchNorm, conv2d, type Graph, type Tensor } from "../../gpu/mod.ts";
import type { Activation, BlockOptions, ResidualBlock } from "./block.ts";

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

/** A block whose f is these convolutions in a row, and whose projections are 1x1 convolutions. */
export function convolutionBlock(
  graph: Graph,
  options: BlockOptions & { readonly layers: readonly ConvLayer[]; readonly activation: Activation },
): ResidualBlock {
  const { name, inputChannels, outputChannels, stride, layers, activation } = options;
  const projection = { outputChannels, kernel: 1, stride } as const;
  const f = (u: Tensor) =>
    layers.reduce((value, layer, i) => {
      const place = { prefix: name, suffix: `${i + 1}`, layer };
      return activation === "pre"
        ? preActivationLayer(graph, value, place)
        : postActivationLayer(graph, value, { ...place, relu: i < layers.length - 1 });
    }, u);
  if (inputChannels === outputChannels && stride === 1) return { name, f };
  const place = { prefix: `${name}.projection`, suffix: "", layer: projection };
  return {
    name,
    f,
    project: (u) =>
      activation === "pre"
        ? preActivationLayer(graph, u, place)
        : postActivationLayer(graph, u, { ...place, relu: false }),
    projectHistory: (previous) =>
      preActivationLayer(graph, previous, { ...place, prefix: `${name}.history_projection` }),
  };
}

function convolve(graph: Graph, x: Tensor, name: string, layer: ConvLayer): Tensor {
  return conv2d(graph, x, { name, ...layer, padding: (layer.kernel - 1) / 2 });
}
