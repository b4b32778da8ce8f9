import type { Graph } from "../../gpu/mod.ts";
import type { Activation, BlockOptions, ResidualBlock } from "./block.ts";
import { convolutionBlock } from "./layers.ts";

export interface BottleneckOptions {
  /** Channels between the 1x1 convolutions: D. */
  readonly innerChannels: number;
  /** Groups of the 3x3 convolution; ResNeXt's cardinality. */
  readonly groups: number;
  readonly activation: Activation;
}

/** 1x1 to D, 3x3 in groups (with the stride), 1x1 (Xie et al. 2017, figure 3c). */
export function bottleneckBlock(
  graph: Graph,
  options: BlockOptions & BottleneckOptions,
): ResidualBlock {
  const { innerChannels, groups, outputChannels, stride } = options;
  const layers = [
    { outputChannels: innerChannels, kernel: 1 },
    { outputChannels: innerChannels, kernel: 3, stride, groups },
    { outputChannels, kernel: 1 },
  ] as const;
  return convolutionBlock(graph, { ...options, layers });
}
