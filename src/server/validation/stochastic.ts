/** StochasticConfig. What a scheme has a place for is the models' to say. */
import * as proto from "../../gen/mod.ts";
import type { DropPath, NoiseInjection, StochasticDepth, StochasticTraining } from "../../models/mod.ts";
import { depthRules, dropScalings, noiseKinds } from "../convert/stochastic.ts";
import { checkChoice, checkFraction, checkPart, checkWithin, checkZeroOrSingle } from "./fields.ts";

/** Undefined where nothing is chosen. @throws {InvalidFieldError} */
export function checkStochastic(
  field: string,
  message: proto.StochasticConfig | undefined,
): StochasticTraining | undefined {
  if (!message) return undefined;
  const { depth, dropPath, shakeShake, noise } = message;
  const choices: StochasticTraining = {
    ...(depth && { depth: checkDepth(`${field}.depth`, depth) }),
    ...(dropPath && { dropPath: checkDropPath(`${field}.drop_path`, dropPath) }),
    ...(shakeShake && { shakeShake }),
    ...(noise && { noise: checkNoise(`${field}.noise`, noise) }),
  };
  return Object.keys(choices).length > 0 ? choices : undefined;
}

function checkDepth(field: string, { survival, depthRule, dropScaling }: proto.StochasticDepth): StochasticDepth {
  return {
    survival: checkPart(`${field}.survival`, survival),
    rule: checkChoice(`${field}.depth_rule`, depthRule, depthRules) ?? "zero_based",
    scaling: checkChoice(`${field}.drop_scaling`, dropScaling, dropScalings) ?? "training",
  };
}

/** Larsson et al. 2017 drop 15% of the paths, and train whole columns in half of the steps. */
function checkDropPath(field: string, { rate = 0.15, globalShare = 0.5 }: proto.DropPath): DropPath {
  return {
    rate: checkFraction(`${field}.rate`, rate),
    globalShare: checkWithin(`${field}.global_share`, globalShare, { min: 0, max: 1 }),
  };
}

function checkNoise(field: string, { noiseKind, sigma = 0.001 }: proto.NoiseInjection): NoiseInjection {
  return {
    kind: checkChoice(`${field}.noise_kind`, noiseKind, noiseKinds) ?? "gaussian_then_uniform",
    sigma: checkZeroOrSingle(`${field}.sigma`, sigma),
  };
}
