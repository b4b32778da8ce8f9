/** How weights are updated and how the learning rate goes, as options of `train`. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type OptimizerConfigSchema, type ScheduleConfigSchema, ScheduleKindSchema } from "../gen/mod.ts";
import { enumChoice } from "./enum_choice.ts";
import { optional, type OptionValues } from "./options.ts";
import { decimal, integer, listOf, trueOrFalse } from "./values.ts";

export const optimizationOptions = {
  lr: optional(decimal("X"), "Learning rate (default: 0.1)"),
  momentum: optional(decimal("X", { below: 1 }), "Of stochastic gradient descent (default: 0.9)"),
  nesterov: optional(trueOrFalse(), "Nesterov's momentum (default: false)"),
  "weight-decay": optional(decimal("X"), "Of all weights (default: 0.0001)"),
  "decay-multistep-coefficients": optional(
    trueOrFalse(),
    "Whether weight decay applies to the multi-step coefficients k (default: true)",
  ),
  "decay-batch-norm": optional(trueOrFalse(), "Whether it applies to batch norm's scales and shifts (default: true)"),
  "decay-biases": optional(trueOrFalse(), "Whether it applies to biases (default: true)"),
  "clip-global-norm": optional(decimal("X"), "The most that the norm of all gradients may be; 0: any (default: 0)"),
  "ema-decay": optional(
    decimal("X", { below: 1 }),
    "Keep the weights' moving average with this decay, and evaluate and use it in their place (default: none)",
  ),
  schedule: optional(enumChoice(ScheduleKindSchema), "How the learning rate goes on after a warm-up (default: steps)"),
  milestones: optional(
    listOf(integer("EPOCH")),
    "Of steps: epochs, counted from 0, at whose start the rate is multiplied",
  ),
  factor: optional(decimal("X"), "Of steps: by what it is multiplied (default: 0.1)"),
  "warmup-epochs": optional(decimal("X"), "Epochs, also in parts, over which the rate rises to its value (default: 0)"),
  "warmup-start-factor": optional(decimal("X"), "What the first step's rate is multiplied by (default: 0.01)"),
  "final-factor": optional(decimal("X"), "Of cosine and linear: what the rate falls to, from 0 to 1 (default: 0)"),
};

type Values = OptionValues<typeof optimizationOptions>;

export function optimizerConfig(values: Values): MessageInitShape<typeof OptimizerConfigSchema> {
  return {
    learningRate: values.lr,
    momentum: values.momentum,
    weightDecay: values["weight-decay"],
    decayMultistepCoefficients: values["decay-multistep-coefficients"],
    nesterov: values.nesterov,
    decayBatchNorm: values["decay-batch-norm"],
    decayBiases: values["decay-biases"],
    clipGlobalNorm: values["clip-global-norm"],
    emaDecay: values["ema-decay"],
  };
}

export function scheduleConfig(values: Values): MessageInitShape<typeof ScheduleConfigSchema> {
  return {
    kind: values.schedule,
    milestones: values.milestones,
    factor: values.factor,
    warmupEpochs: values["warmup-epochs"],
    warmupStartFactor: values["warmup-start-factor"],
    finalFactor: values["final-factor"],
  };
}
