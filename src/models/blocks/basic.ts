import type { Graph } from "../../gpu/mod.ts";
import type { BlockOptions, ResidualBlock } from "./block.ts";
import { type BlockStyle, convolutionBlock } from "./convolution_block.ts";

/** Two 3x3 convolutions, the first with the stride (He et al. 2016a, figure 5; 2016b, figure 4e). */
export function basicBlock(graph: Graph, options: BlockOptions & BlockStyle): ResidualBlock {
  return convolutionBlock(graph, {
    ...options,
    layers: ({ outputChannels, stride }) => [
      { outputChannels, kernel: 3, stride },
      { outputChannels, kernel: 3 },
    ],
  });
}
