import type { Graph } from "../../gpu/mod.ts";
import type { BlockOptions, ResidualBlock } from "./block.ts";
import { convolutionBlock } from "./layers.ts";

/** Two 3x3 convolutions, pre-activation: BN-ReLU-conv-BN-ReLU-conv (He et al. 2016b, figure 4e). */
export function basicBlock(graph: Graph, options: BlockOptions): ResidualBlock {
  const { outputChannels, stride } = options;
  const layers = [{ outputChannels, kernel: 3, stride }, { outputChannels, kernel: 3 }] as const;
  return convolutionBlock(graph, { ...options, layers, activation: "pre" });
}
