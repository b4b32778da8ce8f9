import { batchNorm, conv2d, globalAveragePool, type Graph, linear, relu, type Tensor } from "../../gpu/mod.ts";
import type { Activation, BlockFactory } from "../blocks/block.ts";
import type { Scheme } from "../schemes/scheme.ts";

export interface Stage {
  readonly blocks: number;
  readonly outputChannels: number;
  /** Of the first block. */
  readonly stride: number;
  readonly block: BlockFactory;
}

/** A residual network for small images: one 3x3 convolution, stages of blocks, average pooling, a linear layer. */
export interface ResidualNetwork {
  readonly stemChannels: number;
  readonly activation: Activation;
  readonly stages: readonly Stage[];
  readonly scheme: Scheme;
}

/** Records the network on images of [N, H, W, C]; returns logits of [N, classes]. */
export function recordResidualNetwork(
  graph: Graph,
  network: ResidualNetwork,
  images: Tensor,
  classes: number,
): Tensor {
  const { scheme, activation, stages } = network;
  let state = scheme.init(stem(graph, network, images));
  let inputChannels = network.stemChannels;
  stages.forEach((stage, s) => {
    for (let b = 0; b < stage.blocks; b++) {
      const { outputChannels } = stage;
      const name = `stage${s + 1}.block${b}`;
      const block = stage.block(graph, { name, inputChannels, outputChannels, stride: b === 0 ? stage.stride : 1 });
      state = scheme.step(graph, block, state);
      if (activation === "post") state = { ...state, u: relu(graph, `${name}.relu`, state.u) };
      inputChannels = outputChannels;
    }
  });
  const u = activation === "pre" ? batchNorm(graph, state.u, { name: "head.bn", relu: true }) : state.u;
  return linear(graph, globalAveragePool(graph, "head.pool", u), { name: "head.linear", outputs: classes });
}

function stem(graph: Graph, { stemChannels, activation }: ResidualNetwork, images: Tensor): Tensor {
  const u = conv2d(graph, images, { name: "stem.conv", outputChannels: stemChannels, kernel: 3, padding: 1 });
  return activation === "pre" ? u : batchNorm(graph, u, { name: "stem.bn", relu: true });
}
