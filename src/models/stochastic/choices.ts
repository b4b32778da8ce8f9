/** Chance in training, which makes a network a discretised stochastic equation (Lu et al. 2018, section 3). */
import { ModelError } from "../errors.ts";
import type { Scheme } from "../schemes/scheme.ts";

/**
 * How a block's chance to survive falls with its depth, to p_L in the last of L blocks:
 *
 * - `zero_based`: 1 - l / (L - 1) (1 - p_L), l from 0 to L - 1: the first block always survives (the code of Lu et al. 2018)
 * - `one_based`: 1 - l / L (1 - p_L), l from 1 to L (Huang et al. 2016)
 */
export type DepthRule = "zero_based" | "one_based";

/**
 * What keeps the expectation of a step in training equal to the step in evaluation:
 *
 * - `training`: f is divided by p where its block survives, and used as it is in evaluation (the code of Lu et al. 2018)
 * - `test`: f is used as it is in training, and multiplied by p in evaluation (Huang et al. 2016)
 */
export type DropScaling = "training" | "test";

export interface StochasticDepth {
  /** p_L: above 0, at most 1. */
  readonly survival: number;
  readonly rule: DepthRule;
  readonly scaling: DropScaling;
}

export interface StochasticTraining {
  readonly depth?: StochasticDepth;
}

/** @throws {ModelError} for chance that a network's scheme has no place for, or a probability that is none. */
export function requireStochastic(name: string, scheme: Scheme, { depth }: StochasticTraining): void {
  if (!depth) return;
  if (!(depth.survival > 0 && depth.survival <= 1)) {
    throw new ModelError(
      `Cannot drop blocks of "${name}" with a survival of ${depth.survival}: it must be above 0 and at most 1`,
    );
  }
  if (!scheme.hasIncrement) {
    throw new ModelError(
      `Cannot use stochastic depth with "${name}": a step of its scheme (${scheme.name}) is not u and one increment ` +
        "that could be dropped",
    );
  }
}
