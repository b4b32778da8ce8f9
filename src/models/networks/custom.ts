/** Networks that a request describes itself. */
import { basicBlock } from "../blocks/basic.ts";
import { bottleneckBlock } from "../blocks/bottleneck.ts";
import { ModelError } from "../errors.ts";
import type { NetworkSpec, StageSpec } from "../spec.ts";
import type { Layout } from "./layouts.ts";
import type { Stage } from "./residual_network.ts";

const MAX_STAGES = 8;
const MAX_BLOCKS = 400;
const MAX_CHANNELS = 8192;
const MAX_STRIDE = 4;

/**
 * The layout of a described network.
 * @throws {ModelError} for a number out of range, or groups that do not divide channels.
 */
export function customLayout({ stem, stemChannels, stages }: NetworkSpec): Layout {
  requireRange("stem_channels", stemChannels, MAX_CHANNELS);
  requireRange("the number of stages", stages.length, MAX_STAGES);
  requireRange("the blocks of all stages", stages.reduce((sum, { blocks }) => sum + blocks, 0), MAX_BLOCKS);
  stages.forEach((stage, s) => checkStage(stage, `stages[${s}]`));
  return {
    stem: { kind: stem, channels: stemChannels },
    stages: (style) =>
      stages.map((stage, s): Stage => ({
        blocks: stage.blocks,
        outputChannels: stage.channels,
        stride: strideOf(stage, s),
        block: (graph, options) => {
          if (stage.block === "basic") return basicBlock(graph, { ...options, ...style });
          const { groups } = stage;
          return bottleneckBlock(graph, { ...options, ...style, innerChannels: innerChannelsOf(stage), groups });
        },
      })),
  };
}

function checkStage(stage: StageSpec, where: string): void {
  requireRange(`${where}.blocks`, stage.blocks, MAX_BLOCKS);
  requireRange(`${where}.channels`, stage.channels, MAX_CHANNELS);
  if (stage.stride !== undefined) requireRange(`${where}.stride`, stage.stride, MAX_STRIDE);
  if (stage.block === "basic") {
    if (stage.groups === 1 && stage.innerChannels === undefined) return;
    throw new ModelError(
      `Cannot build the network: ${where} is of basic blocks, which have no inner channels or groups`,
    );
  }
  const inner = innerChannelsOf(stage);
  requireRange(`${where}.inner_channels`, inner, MAX_CHANNELS);
  requireRange(`${where}.groups`, stage.groups, inner);
  if (inner % stage.groups !== 0) {
    throw new ModelError(
      `Cannot build the network: ${where}.groups must divide the ${inner} inner channels, got ${stage.groups}`,
    );
  }
}

/** Half the size from stage to stage, as the zoo's networks do. */
function strideOf({ stride }: StageSpec, index: number): number {
  return stride ?? (index === 0 ? 1 : 2);
}

/** A quarter of the block's, as in He et al. 2016a. */
function innerChannelsOf({ innerChannels, channels }: StageSpec): number {
  return innerChannels ?? channels / 4;
}

function requireRange(what: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new ModelError(`Cannot build the network: ${what} must be an integer from 1 to ${most}, got ${value}`);
  }
}
