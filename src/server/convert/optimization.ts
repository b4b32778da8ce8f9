/** OptimizerConfig and ScheduleConfig between their messages and the engine's form; the table serves validation too. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { optimizationDefaults, type ScheduleKind, type TrainingConfig } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";

export const scheduleKinds: Readonly<Record<ScheduleKind, proto.ScheduleKind>> = {
  steps: proto.ScheduleKind.STEPS,
  cosine: proto.ScheduleKind.COSINE,
  linear: proto.ScheduleKind.LINEAR,
  constant: proto.ScheduleKind.CONSTANT,
};

export function toOptimizerConfig(config: TrainingConfig): MessageInitShape<typeof proto.OptimizerConfigSchema> {
  const { learningRate, momentum, weightDecay, decayMultistepCoefficients } = config;
  const { nesterov, decayBatchNorm, decayBiases, clipGlobalNorm, emaDecay } = { ...optimizationDefaults, ...config };
  return {
    learningRate,
    momentum,
    weightDecay,
    decayMultistepCoefficients,
    nesterov,
    decayBatchNorm,
    decayBiases,
    clipGlobalNorm,
    emaDecay,
  };
}

/** What there is no use for is left out, as a request has to leave it out. */
export function toScheduleConfig(config: TrainingConfig): MessageInitShape<typeof proto.ScheduleConfigSchema> {
  const { schedule, warmupEpochs, warmupStartFactor, finalFactor, milestones, factor } = {
    ...optimizationDefaults,
    ...config,
  };
  return {
    kind: scheduleKinds[schedule],
    ...(schedule === "steps" && milestones.length > 0 && { milestones: [...milestones], factor }),
    ...(isFalling(schedule) && { finalFactor }),
    warmupEpochs,
    ...(warmupEpochs > 0 && { warmupStartFactor }),
  };
}

/** Whether the learning rate falls step by step, to a final factor. */
export function isFalling(schedule: ScheduleKind): boolean {
  return schedule === "cosine" || schedule === "linear";
}
