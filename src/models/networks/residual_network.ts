import {
  batchNorm,
  conv2d,
  globalAveragePool,
  type Graph,
  linear,
  maxPool2d,
  relu,
  type Tensor,
} from "../../gpu/mod.ts";
import type { Activation, BlockFactory } from "../blocks/block.ts";
import type { Scheme } from "../schemes/scheme.ts";
import { blockChance } from "../stochastic/block_chance.ts";
import type { StochasticTraining } from "../stochastic/choices.ts";
import { recordNoise } from "../stochastic/noise.ts";

export interface Stage {
  readonly blocks: number;
  readonly outputChannels: number;
  /** Of the first block. */
  readonly stride: number;
  readonly block: BlockFactory;
}

/**
 * What comes before the stages:
 *
 * - `small`: a 3x3 convolution, with BN-ReLU after it in post-activation networks (He et al. 2016a, section 4.2)
 * - `large`: a 7x7 convolution of stride 2, BN-ReLU, and a 3x3 max pool of stride 2 (the same, table 1)
 */
export interface Stem {
  readonly kind: "small" | "large";
  readonly channels: number;
}

/** A residual network: a stem, stages of blocks stepped by a scheme, average pooling, a linear layer. */
export interface ResidualNetwork {
  readonly stem: Stem;
  readonly activation: Activation;
  readonly stages: readonly Stage[];
  readonly scheme: Scheme;
  /** Default: none. */
  readonly stochastic?: StochasticTraining;
}

/** The name of a stage's block, both counted from 0: what its parameters' names begin with. */
export function blockName(stage: number, block: number): string {
  return `stage${stage + 1}.block${block}`;
}

/** Records the network on images of [N, H, W, C]; returns logits of [N, classes]. */
export function recordResidualNetwork(
  graph: Graph,
  network: ResidualNetwork,
  images: Tensor,
  classes: number,
): Tensor {
  const { scheme, activation, stages, stochastic = {} } = network;
  const blocks = stages.reduce((sum, stage) => sum + stage.blocks, 0);
  let index = 0;
  let state = scheme.init(recordStem(graph, network, images));
  let inputChannels = network.stem.channels;
  stages.forEach((stage, s) => {
    for (let b = 0; b < stage.blocks; b++) {
      const { outputChannels } = stage;
      const name = blockName(s, b);
      const block = stage.block(graph, { name, inputChannels, outputChannels, stride: b === 0 ? stage.stride : 1 });
      const place = { name, index, blocks };
      state = scheme.step(graph, { ...block, ...blockChance(graph, stochastic, place) }, state);
      if (activation === "post") state = { ...state, u: relu(graph, `${name}.relu`, state.u) };
      if (stochastic.noise) state = { ...state, u: recordNoise(graph, state.u, stochastic.noise, place) };
      inputChannels = outputChannels;
      index++;
    }
  });
  const solution = scheme.solution?.(graph, state) ?? state.u;
  const u = activation === "pre" ? batchNorm(graph, solution, { name: "head.bn", relu: true }) : solution;
  return linear(graph, globalAveragePool(graph, "head.pool", u), { name: "head.linear", outputs: classes });
}

function recordStem(graph: Graph, { stem, activation }: ResidualNetwork, images: Tensor): Tensor {
  const outputChannels = stem.channels;
  if (stem.kind === "large") {
    const u = conv2d(graph, images, { name: "stem.conv", outputChannels, kernel: 7, stride: 2, padding: 3 });
    const activated = batchNorm(graph, u, { name: "stem.bn", relu: true });
    return maxPool2d(graph, activated, { name: "stem.pool", kernel: 3, stride: 2, padding: 1 });
  }
  const u = conv2d(graph, images, { name: "stem.conv", outputChannels, kernel: 3, padding: 1 });
  return activation === "pre" ? u : batchNorm(graph, u, { name: "stem.bn", relu: true });
}
