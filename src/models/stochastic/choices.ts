/** Chance in training, which makes a network a discretised stochastic equation (Lu et al. 2018, section 3). */
import { ModelError } from "../errors.ts";
import type { ChanceKind, Scheme } from "../schemes/scheme.ts";

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

/** See drop_path.ts. */
export interface DropPath {
  /** The probability with which a join loses each of its inputs: from 0 to below 1. */
  readonly rate: number;
  /** The part of the steps that train one column alone: from 0 to 1. */
  readonly globalShare: number;
}

/** Of what comes out of the first block, and of later ones. */
export type NoiseKind = "gaussian_then_uniform" | "gaussian" | "uniform";

export interface NoiseInjection {
  readonly kind: NoiseKind;
  /** Of N(0, sigma) and U(0, sigma); at least 0. */
  readonly sigma: number;
}

/** What is left out is not done. */
export interface StochasticTraining {
  readonly depth?: StochasticDepth;
  readonly dropPath?: DropPath;
  readonly shakeShake?: true;
  readonly noise?: NoiseInjection;
}

const NAMES: Readonly<Record<ChanceKind, { readonly what: string; readonly needs: string }>> = {
  depth: { what: "stochastic depth", needs: "a scheme of u and one increment, which it may drop" },
  dropPath: { what: "drop-path", needs: "a fractal of two columns at least" },
  shakeShake: { what: "shake-shake", needs: "the two-way scheme, whose branches it mixes" },
  noise: { what: "noise", needs: "results that the backward pass does not compute again" },
};

/** @throws {ModelError} for chance that a network's scheme has no place for, or a number out of range. */
export function requireStochastic(name: string, scheme: Scheme, stochastic: StochasticTraining): void {
  for (const kind of Object.keys(NAMES) as ChanceKind[]) {
    if (stochastic[kind] === undefined || scheme.takes.includes(kind)) continue;
    const { what, needs } = NAMES[kind];
    throw new ModelError(`Cannot use ${what} with "${name}": it needs ${needs}; its scheme is ${scheme.name}`);
  }
  const { depth, dropPath, noise, shakeShake } = stochastic;
  const fail = (detail: string): never => {
    throw new ModelError(`Cannot train "${name}" stochastically: ${detail}`);
  };
  if (depth && shakeShake) fail("either stochastic depth or shake-shake decides on f");
  if (depth && !(depth.survival > 0 && depth.survival <= 1)) {
    fail(`the survival of the last block must be above 0 and at most 1, got ${depth.survival}`);
  }
  if (dropPath && !(dropPath.rate >= 0 && dropPath.rate < 1)) {
    fail(`the rate of drop-path must be from 0 to below 1, got ${dropPath.rate}`);
  }
  if (dropPath && !(dropPath.globalShare >= 0 && dropPath.globalShare <= 1)) {
    fail(`the global share of drop-path must be from 0 to 1, got ${dropPath.globalShare}`);
  }
  if (noise && !(noise.sigma >= 0 && Number.isFinite(noise.sigma))) {
    fail(`the sigma of noise must be a finite number of at least 0, got ${noise.sigma}`);
  }
}
