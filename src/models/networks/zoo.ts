/** The networks by name. */
import type { Activation } from "../blocks/block.ts";
import { basicBlock } from "../blocks/basic.ts";
import { bottleneckBlock } from "../blocks/bottleneck.ts";
import { ModelError } from "../errors.ts";
import { forwardEuler } from "../schemes/forward_euler.ts";
import { linearMultistep } from "../schemes/linear_multistep.ts";
import type { Scheme } from "../schemes/scheme.ts";
import type { ModelSpec, Transition } from "../spec.ts";
import type { ResidualNetwork } from "./residual_network.ts";

/** A family of networks, for listings. */
export interface ModelFamily {
  /** "lm-resnet-N" */
  readonly pattern: string;
  readonly description: string;
  readonly scheme: string;
  readonly examples: readonly string[];
}

export interface SchemeChoices {
  /** Whether weight decay applies to the coefficients k; default true. */
  readonly decayMultistepCoefficients?: boolean;
}

const MAX_DEPTH = 1202;
const MAX_INNER_CHANNELS = 8192;

const FAMILIES: readonly ModelFamily[] = [
  {
    pattern: "resnet-N",
    description: "Pre-activation residual network for small images, N = 6n + 2 layers, 16/32/64 channels",
    scheme: "forward Euler",
    examples: ["resnet-20", "resnet-32", "resnet-44", "resnet-56", "resnet-110"],
  },
  {
    pattern: "lm-resnet-N",
    description: "The same with the linear multi-step step; transition plain unless chosen",
    scheme: "linear multi-step",
    examples: ["lm-resnet-20", "lm-resnet-32", "lm-resnet-44", "lm-resnet-56", "lm-resnet-110"],
  },
  {
    pattern: "resnext-29-CxWd",
    description: "ResNeXt of 29 layers for small images: C groups of width W, post-activation",
    scheme: "forward Euler",
    examples: ["resnext-29-8x64d", "resnext-29-16x64d"],
  },
  {
    pattern: "lm-resnext-29-CxWd",
    description: "Pre-activation ResNeXt with the linear multi-step step; transition project_both unless chosen",
    scheme: "linear multi-step",
    examples: ["lm-resnext-29-8x64d", "lm-resnext-29-16x64d"],
  },
];

export function modelFamilies(): readonly ModelFamily[] {
  return FAMILIES;
}

/**
 * Finds a network by its name.
 * @throws {ModelError} for an unknown name or a choice that the network does not have.
 */
export function findNetwork(spec: ModelSpec, choices: SchemeChoices = {}): ResidualNetwork {
  const [, prefix = "", family = "", rest = ""] = /^(lm-)?(resnet|resnext-29)-(.+)$/.exec(spec.name) ?? [];
  const multistep = prefix === "lm-";
  if (!multistep && spec.transition) {
    throw new ModelError(
      `Cannot use transition "${spec.transition}" with "${spec.name}": it has no multi-step history`,
    );
  }
  const scheme = (transition: Transition): Scheme =>
    multistep
      ? linearMultistep({ transition: spec.transition ?? transition, decay: choices.decayMultistepCoefficients })
      : forwardEuler;
  switch (family) {
    case "resnet":
      return resnet(blocksOfDepth(spec.name, rest), scheme("plain"));
    case "resnext-29":
      return resnext(groupsAndWidth(spec.name, rest), multistep ? "pre" : "post", scheme("project_both"));
    default:
      throw new ModelError(`Cannot find model "${spec.name}": there are ${FAMILIES.map((f) => f.pattern).join(", ")}`);
  }
}

function resnet(blocks: number, scheme: Scheme): ResidualNetwork {
  return {
    stemChannels: 16,
    activation: "pre",
    scheme,
    stages: [16, 32, 64].map((outputChannels, s) => ({
      blocks,
      outputChannels,
      stride: s === 0 ? 1 : 2,
      block: basicBlock,
    })),
  };
}

function resnext(
  { groups, width }: { groups: number; width: number },
  activation: Activation,
  scheme: Scheme,
): ResidualNetwork {
  return {
    stemChannels: 64,
    activation,
    scheme,
    stages: [0, 1, 2].map((s) => ({
      blocks: 3,
      outputChannels: 256 * 2 ** s,
      stride: s === 0 ? 1 : 2,
      block: (graph, options) => {
        const innerChannels = groups * width * 2 ** s;
        return bottleneckBlock(graph, { ...options, innerChannels, groups, activation });
      },
    })),
  };
}

function blocksOfDepth(name: string, text: string): number {
  const prefix = name.startsWith("lm-") ? "lm-" : "";
  const depth = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : NaN;
  const blocks = (depth - 2) / 6;
  if (!Number.isInteger(blocks) || blocks < 1 || depth > MAX_DEPTH) {
    throw new ModelError(
      `Cannot find model "${name}": N must be 6n + 2, from 8 to ${MAX_DEPTH}, for example ${prefix}resnet-20`,
    );
  }
  return blocks;
}

function groupsAndWidth(name: string, text: string): { groups: number; width: number } {
  const match = /^([1-9]\d{0,3})x([1-9]\d{0,3})d$/.exec(text);
  const [groups, width] = match ? [Number(match[1]), Number(match[2])] : [NaN, NaN];
  if (!match || groups * width * 4 > MAX_INNER_CHANNELS) {
    throw new ModelError(
      `Cannot find model "${name}": it ends in CxWd, C groups of width W with C x W at most ${
        MAX_INNER_CHANNELS / 4
      }, ` +
        "for example 8x64d",
    );
  }
  return { groups, width };
}
