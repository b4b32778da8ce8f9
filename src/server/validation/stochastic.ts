/** StochasticConfig. What a scheme has a place for is the models' to say. */
import * as proto from "../../gen/mod.ts";
import type { StochasticDepth, StochasticTraining } from "../../models/mod.ts";
import { depthRules, dropScalings } from "../convert/stochastic.ts";
import { checkChoice, checkProbability } from "./fields.ts";

/** Undefined where nothing is chosen. @throws {InvalidFieldError} */
export function checkStochastic(
  field: string,
  message: proto.StochasticConfig | undefined,
): StochasticTraining | undefined {
  if (!message?.depth) return undefined;
  return { depth: checkDepth(`${field}.depth`, message.depth) };
}

function checkDepth(field: string, { survival, depthRule, dropScaling }: proto.StochasticDepth): StochasticDepth {
  return {
    survival: checkProbability(`${field}.survival`, survival),
    rule: checkChoice(`${field}.depth_rule`, depthRule, depthRules) ?? "zero_based",
    scaling: checkChoice(`${field}.drop_scaling`, dropScaling, dropScalings) ?? "training",
  };
}
