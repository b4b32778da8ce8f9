/** Chance in training, as options of `train`. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  DepthRuleSchema,
  DropScalingSchema,
  type NoiseInjectionSchema,
  NoiseKindSchema,
  type StochasticConfigSchema,
} from "../gen/mod.ts";
import { enumChoice } from "./enum_choice.ts";
import { UsageError } from "./errors.ts";
import { flag, optional, type OptionValues } from "./options.ts";
import { decimal, type ValueKind } from "./values.ts";

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
  "drop-path": optional(
    decimal("RATE", { below: 1 }),
    "Drop inputs of a fractal's joins with this probability, such as 0.15 (default: none are dropped)",
  ),
  "drop-path-global": optional(
    decimal("SHARE"),
    "The part of the steps that train one column alone, 0 to 1 (default: 0.5)",
  ),
  "shake-shake": flag("Mix the branches of a two-way network by chance"),
  noise: optional(noise(), "Add noise to what comes out of each block (SIGMA's default: 0.001)"),
};

/** Details of a choice, and the option that makes it. */
const details = [
  ["depth-rule", "stochastic-depth"],
  ["drop-scaling", "stochastic-depth"],
  ["drop-path-global", "drop-path"],
] as const;

/**
 * @param values.recipe Where one is named, options may say more of what it chooses.
 * @throws {UsageError} for an option that says more of one that is not given
 */
export function stochasticConfig(
  values: OptionValues<typeof stochasticOptions> & { readonly recipe?: string },
): MessageInitShape<typeof StochasticConfigSchema> | undefined {
  for (const [detail, choice] of details) {
    if (values[detail] !== undefined && values[choice] === undefined && values.recipe === undefined) {
      throw new UsageError(`Option --${detail} needs --${choice}`);
    }
  }
  const { "stochastic-depth": survival, "depth-rule": depthRule, "drop-scaling": dropScaling } = values;
  const { "drop-path": rate, "drop-path-global": globalShare, "shake-shake": shakeShake, noise } = values;
  return messageOf({
    depth: messageOf({ survival, depthRule, dropScaling }),
    dropPath: messageOf({ rate, globalShare }),
    shakeShake: shakeShake || undefined,
    noise,
  });
}

/** Nothing, where no field is set: a message that is there says that something was chosen. */
function messageOf<T extends object>(fields: T): T | undefined {
  return Object.values(fields).some((value) => value !== undefined) ? fields : undefined;
}

/** "gaussian", "uniform:0.01". */
function noise(): ValueKind<MessageInitShape<typeof NoiseInjectionSchema>> {
  const kinds = enumChoice(NoiseKindSchema);
  const sigmas = decimal("SIGMA");
  return {
    placeholder: `${kinds.placeholder}[:SIGMA]`,
    read(text) {
      const [kind, ...sigma] = text.split(":");
      const noiseKind = kinds.read(kind);
      return sigma.length === 0 ? { noiseKind } : { noiseKind, sigma: sigmas.read(sigma.join(":")) };
    },
  };
}
