import type { Graph } from "../../gpu/mod.ts";
import { ModelError } from "../errors.ts";
import type { BlockOptions, ResidualBlock } from "./block.ts";
import { type BlockStyle, convolutionBlock } from "./convolution_block.ts";

export interface BottleneckOptions extends BlockStyle {
  /** Channels between the 1x1 convolutions: D. */
  readonly innerChannels: number;
  /** Groups of the 3x3 convolution; ResNeXt's cardinality. */
  readonly groups: number;
}

/**
 * 1x1 to D, 3x3 in groups (with the stride), 1x1 (Xie et al. 2017, figure 3c). A term of other channels than the
 * block's has D in the same proportion.
 */
export function bottleneckBlock(
  graph: Graph,
  options: BlockOptions & BottleneckOptions,
): ResidualBlock {
  const { name, innerChannels, groups } = options;
  return convolutionBlock(graph, {
    ...options,
    layers: ({ outputChannels, stride }) => {
      const inner = innerChannels * outputChannels / options.outputChannels;
      if (inner % groups !== 0) {
        throw new ModelError(
          `Cannot build "${name}" with ${outputChannels} channels: its ${groups} groups must divide the ${inner} ` +
            "channels of the 3x3 convolution",
        );
      }
      return [
        { outputChannels: inner, kernel: 1 },
        { outputChannels: inner, kernel: 3, stride, groups },
        { outputChannels, kernel: 1 },
      ];
    },
  });
}
