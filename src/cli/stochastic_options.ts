/** Chance in training, as options of `train`. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DepthRuleSchema, DropScalingSchema, type StochasticConfigSchema } from "../gen/mod.ts";
import { enumChoice } from "./enum_choice.ts";
import { UsageError } from "./errors.ts";
import { optional, type OptionValues } from "./options.ts";
import { decimal } from "./values.ts";

export const stochasticOptions = {
  "stochastic-depth": optional(
    decimal("P"),
    "Drop blocks by chance: the last survives with probability P, such as 0.8 (default: none are dropped)",
  ),
  "depth-rule": optional(
    enumChoice(DepthRuleSchema),
    "How survival falls with depth: from the first block, or from before it (default: zero-based)",
  ),
  "drop-scaling": optional(
    enumChoice(DropScalingSchema),
    "Divide what survives in training, or multiply in evaluation (default: training)",
  ),
};

/** @throws {UsageError} for an option that says more of one that is not given */
export function stochasticConfig(
  values: OptionValues<typeof stochasticOptions>,
): MessageInitShape<typeof StochasticConfigSchema> | undefined {
  const { "stochastic-depth": survival, "depth-rule": depthRule, "drop-scaling": dropScaling } = values;
  if (survival !== undefined) return { depth: { survival, depthRule, dropScaling } };
  if (depthRule !== undefined) throw new UsageError("Option --depth-rule needs --stochastic-depth");
  if (dropScaling !== undefined) throw new UsageError("Option --drop-scaling needs --stochastic-depth");
  return undefined;
}
