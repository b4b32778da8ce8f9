/** What the zoo's names mean. */
import type { Activation } from "../blocks/block.ts";
import type { Shortcut } from "../blocks/shortcut.ts";
import { ModelError } from "../errors.ts";
import type { SchemeName } from "../schemes/registry.ts";
import type { Transition } from "../spec.ts";
import {
  type Cardinality,
  largeLayout,
  type Layout,
  smallBasicLayout,
  smallBottleneckLayout,
  smallResnextLayout,
} from "./layouts.ts";

/** A network as its name has it: the layout, and what applies where a request leaves a choice open. */
export interface NamedNetwork {
  readonly layout: Layout;
  /** The scheme that the name says; where it says none, forward Euler unless a request chooses. */
  readonly scheme?: SchemeName;
  readonly transition: Transition;
  /** The activation for a scheme. */
  activation(scheme: SchemeName): Activation;
  shortcut(activation: Activation): Shortcut;
}

const MAX_DEPTH = 1202;
const MAX_INNER_CHANNELS = 8192;

/** Blocks a stage by depth; with groups of 32 channels in the first stage's 3x3 convolution, ResNeXt's too. */
const LARGE_DEPTHS: Readonly<Record<string, readonly number[]>> = {
  "50": [3, 4, 6, 3],
  "101": [3, 4, 23, 3],
  "152": [3, 8, 36, 3],
};

/** Depths that are both 6n + 2 and 9n + 2, and were published with bottleneck blocks (He et al. 2016b). */
const BOTTLENECK_DEPTHS: readonly number[] = [164];

/** What names begin with, and the scheme that this says. */
const PREFIXES: Readonly<Record<string, SchemeName | undefined>> = {
  "resnet-": undefined,
  "resnext-": undefined,
  "lm-resnet-": "linear_multistep",
  "lm-resnext-": "linear_multistep",
  "polynet-poly2-": "poly_2",
  "polynet-poly3-": "poly_3",
  "polynet-mpoly2-": "mpoly_2",
  "polynet-2way-": "two_way",
  "revnet-": "reversible",
  "fractalnet-": "fractal",
};

/**
 * Reads a name: undefined where it is of no family.
 * @throws {ModelError} for a size that the family does not have.
 */
export function networkNamed(name: string): NamedNetwork | undefined {
  const prefix = familyPrefix(name);
  if (!prefix) return undefined;
  const scheme = PREFIXES[prefix];
  const rest = name.slice(prefix.length);
  if (!prefix.endsWith("resnext-")) return { ...resnet(name, rest, prefix), scheme };
  const [, depth, cardinality] = /^(29|50|101|152)-(.+)$/.exec(rest) ?? [];
  return depth ? { ...resnext(depth, groupsAndWidth(name, cardinality)), scheme } : undefined;
}

/** "lm-resnet-" of "lm-resnet-20"; undefined for a name of no family. */
export function familyPrefix(name: string): string | undefined {
  return Object.keys(PREFIXES).find((prefix) => name.startsWith(prefix));
}

function resnet(name: string, rest: string, prefix: string): NamedNetwork {
  const large = LARGE_DEPTHS[rest];
  if (large) return imageNetwork(largeLayout(large, { groups: 1, width: 64 }));
  const [, digits, block] = /^([1-9]\d{0,3})(-basic|-bottleneck)?$/.exec(rest) ?? [];
  const depth = Number(digits);
  const [basic, bottleneck] = [(depth - 2) / 6, (depth - 2) / 9];
  const fits = (blocks: number) => Number.isInteger(blocks) && blocks >= 1 && depth <= MAX_DEPTH;
  const asBottleneck = block === "-bottleneck" ||
    (block === undefined && (!fits(basic) || BOTTLENECK_DEPTHS.includes(depth)));
  if (!fits(asBottleneck ? bottleneck : basic)) {
    throw new ModelError(
      `Cannot find model "${name}": N must be 6n + 2 (basic blocks) or 9n + 2 (bottlenecks), from 8 to ${MAX_DEPTH}, or ` +
        `${Object.keys(LARGE_DEPTHS).join(", ")}, for example ${prefix}20`,
    );
  }
  return {
    layout: asBottleneck ? smallBottleneckLayout(bottleneck) : smallBasicLayout(basic),
    transition: "plain",
    activation: () => "pre",
    shortcut: () => "projection",
  };
}

function resnext(depth: string, cardinality: Cardinality): NamedNetwork {
  if (depth !== "29") return imageNetwork(largeLayout(LARGE_DEPTHS[depth], cardinality));
  return {
    layout: smallResnextLayout(cardinality),
    transition: "project_both",
    activation: postForEuler,
    shortcut: () => "projection",
  };
}

function imageNetwork(layout: Layout): NamedNetwork {
  return {
    layout,
    transition: "plain",
    activation: postForEuler,
    shortcut: (activation) => activation === "post" ? "projection" : "bare_projection",
  };
}

/** The published networks of forward Euler are post-activation ones, those of other schemes are not. */
function postForEuler(scheme: SchemeName): Activation {
  return scheme === "forward_euler" ? "post" : "pre";
}

function groupsAndWidth(name: string, text: string): Cardinality {
  const match = /^([1-9]\d{0,3})x([1-9]\d{0,3})d$/.exec(text);
  const [groups, width] = match ? [Number(match[1]), Number(match[2])] : [NaN, NaN];
  if (!match || groups * width * 4 > MAX_INNER_CHANNELS) {
    throw new ModelError(
      `Cannot find model "${name}": it ends in CxWd, C groups of width W with C x W at most ${
        MAX_INNER_CHANNELS / 4
      }, for example 8x64d`,
    );
  }
  return { groups, width };
}
