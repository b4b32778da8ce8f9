/** The layouts of the zoo's networks: depths, widths, blocks. */
import type { BlockFactory } from "../blocks/block.ts";
import { basicBlock } from "../blocks/basic.ts";
import { bottleneckBlock } from "../blocks/bottleneck.ts";
import type { BlockStyle } from "../blocks/convolution_block.ts";
import type { Stage, Stem } from "./residual_network.ts";

/** A network without its scheme. */
export interface Layout {
  readonly stem: Stem;
  /** Of blocks in a style. */
  stages(style: BlockStyle): Stage[];
}

/** Groups of the 3x3 convolution, and the channels of one of them in the first stage. */
export interface Cardinality {
  readonly groups: number;
  readonly width: number;
}

const EXPANSION = 4;

/** Three stages of basic blocks, of 16, 32 and 64 channels: 6 blocks + 2 layers (He et al. 2016a, section 4.2). */
export function smallBasicLayout(blocks: number): Layout {
  return {
    stem: { kind: "small", channels: 16 },
    stages: (style) =>
      [16, 32, 64].map((outputChannels, s) => ({
        blocks,
        outputChannels,
        stride: s === 0 ? 1 : 2,
        block: (graph, options) => basicBlock(graph, { ...options, ...style }),
      })),
  };
}

/** The same of bottleneck blocks, of 64, 128 and 256 channels: 9 blocks + 2 layers (He et al. 2016b). */
export function smallBottleneckLayout(blocks: number): Layout {
  return {
    stem: { kind: "small", channels: 16 },
    stages: (style) =>
      bottleneckStages({ blocks: [blocks, blocks, blocks], width: 16, groups: 1, style, innerScale: 1 }),
  };
}

/** ResNeXt-29 for small images: three stages of three blocks (Xie et al. 2017, section 5.3). */
export function smallResnextLayout({ groups, width }: Cardinality): Layout {
  return {
    stem: { kind: "small", channels: 64 },
    stages: (style) =>
      bottleneckStages({ blocks: [3, 3, 3], width: 64, groups, style, innerScale: groups * width / 64 }),
  };
}

/** Four stages of bottleneck blocks for ImageNet (He et al. 2016a, table 1; Xie et al. 2017, table 1). */
export function largeLayout(blocks: readonly number[], { groups, width }: Cardinality): Layout {
  return {
    stem: { kind: "large", channels: 64 },
    stages: (style) => bottleneckStages({ blocks, width: 64, groups, style, innerScale: groups * width / 64 }),
  };
}

interface BottleneckStages {
  /** A stage. */
  readonly blocks: readonly number[];
  /** A quarter of the first stage's channels; each stage has twice the one before. */
  readonly width: number;
  readonly groups: number;
  readonly style: BlockStyle;
  /** Channels of the 3x3 convolution for one of `width`. */
  readonly innerScale: number;
}

function bottleneckStages({ blocks, width, groups, style, innerScale }: BottleneckStages): Stage[] {
  return blocks.map((count, s) => {
    const stageWidth = width * 2 ** s;
    const innerChannels = stageWidth * innerScale;
    const block: BlockFactory = (graph, options) =>
      bottleneckBlock(graph, { ...options, ...style, innerChannels, groups });
    return { blocks: count, outputChannels: EXPANSION * stageWidth, stride: s === 0 ? 1 : 2, block };
  });
}
