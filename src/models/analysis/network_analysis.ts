/**
 * A trained network as a numerical scheme. A linear multi-step network's learned k say, block by block, which equation
 * the scheme approximates: its modified equation, with step size dt, is
 *
 *   (1 + k) u' + (1 - k) (dt / 2) u'' = f(u)
 *
 * up to terms of dt^2 (Lu et al. 2018). So the time that a block advances is dt / (1 + k), and (1 - k) / 2 weighs
 * the acceleration u''; forward Euler, a residual network's step, is k = 0, with 1 and 1/2.
 */
import type { NamedTensor } from "../checkpoints/checkpoint.ts";
import { blockName } from "../networks/residual_network.ts";
import { findNetwork, schemeOfNetwork } from "../networks/zoo.ts";
import type { ModelSpec } from "../spec.ts";
import { describeScheme, type SchemeDescription } from "./scheme_description.ts";
import { characteristicPolynomial, isZeroStable } from "./stability.ts";

const multistepPolynomial = characteristicPolynomial({ scheme: "linear_multistep" });

export interface NetworkAnalysis {
  readonly scheme: SchemeDescription;
  /** From the input to the output; empty where the scheme learns no coefficients. */
  readonly blocks: readonly BlockStep[];
}

/** One block, which is one step of the scheme. */
export interface BlockStep {
  /** "stage1.block0" */
  readonly name: string;
  /** Both from 1; steps are counted through the network. */
  readonly stage: number;
  readonly step: number;
  /** Undefined: the block takes a step of forward Euler, as the first one does, or one that changes the shape. */
  readonly coefficient?: LearnedCoefficient;
}

/** What a block learned for k. */
export interface LearnedCoefficient {
  /** Over the channels, where each has its own. */
  readonly mean: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Of k: 1, or one a channel. */
  readonly channels: number;
  /** 1 / (1 + k) of the mean, in units of dt; undefined where k = -1, which leaves no u'. Negative below. */
  readonly effectiveStep?: number;
  /** (1 - k) / 2 of the mean. */
  readonly acceleration: number;
  /** Of the channels, those whose characteristic polynomial (z - 1)(z + k) fulfils the root condition: -1 < k <= 1. */
  readonly stableChannels: number;
  /** Whether all of them do. */
  readonly zeroStable: boolean;
}

/**
 * @param weights parameters by name, those that the network computes with
 * @throws {ModelError} for an unknown network.
 */
export function analyzeNetwork(spec: ModelSpec, weights: ReadonlyMap<string, NamedTensor>): NetworkAnalysis {
  const scheme = schemeOfNetwork(spec);
  const description = describeScheme({ scheme, columns: spec.columns });
  if (scheme !== "linear_multistep") return { scheme: description, blocks: [] };
  const blocks = findNetwork(spec).stages.flatMap((stage, s) =>
    Array.from({ length: stage.blocks }, (_, b) => ({ name: blockName(s, b), stage: s + 1 }))
  );
  return {
    scheme: description,
    blocks: blocks.map(({ name, stage }, index) => {
      const k = weights.get(`${name}.k`)?.data;
      return { name, stage, step: index + 1, coefficient: k && learnedCoefficient(k) };
    }),
  };
}

/** @param k at least one value */
export function learnedCoefficient(k: Float32Array): LearnedCoefficient {
  const mean = k.reduce((sum, value) => sum + value, 0) / k.length;
  const stableChannels = k.filter((value) => isZeroStable(multistepPolynomial(value))).length;
  return {
    mean,
    minimum: k.reduce((least, value) => Math.min(least, value)),
    maximum: k.reduce((most, value) => Math.max(most, value)),
    channels: k.length,
    effectiveStep: mean === -1 ? undefined : 1 / (1 + mean),
    acceleration: (1 - mean) / 2,
    stableChannels,
    zeroStable: stableChannels === k.length,
  };
}
