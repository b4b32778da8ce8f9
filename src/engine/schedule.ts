/** What a configuration says about each epoch and step; functions of the position alone, so a resumed run repeats them. */
import type { TrainingConfig } from "./messages.ts";
import { optimizationDefaults } from "./optimization.ts";

export interface StepPosition {
  /** Steps of the run before this one. */
  readonly step: number;
  readonly stepsPerEpoch: number;
}

export type ScheduleFields = Pick<
  TrainingConfig,
  | "epochs"
  | "learningRate"
  | "milestones"
  | "factor"
  | "schedule"
  | "warmupEpochs"
  | "warmupStartFactor"
  | "finalFactor"
>;

/**
 * The learning rate of a step. With W steps of warm-up from the factor s, T steps in all and the final factor f it is the
 * configured rate times, for step t from 0 on,
 *
 *   t < W:      s + (1 - s) t / W                             PyTorch's LinearLR
 *   cosine:     f + (1 - f) (1 + cos(pi (t - W) / (T - W))) / 2        CosineAnnealingLR(T_max = T - W)
 *   linear:     1 + (f - 1) (t - W) / (T - W)                 LinearLR
 *   steps:      factor to the power of the milestones up to the step's epoch     MultiStepLR
 *
 * where `cosine` and `linear` begin after the warm-up (SequentialLR), while milestones are counted from the start of the
 * run and apply within the warm-up too (ChainedScheduler).
 */
export function learningRateOf(config: ScheduleFields, { step, stepsPerEpoch }: StepPosition): number {
  const { warmupEpochs, warmupStartFactor: start } = { ...optimizationDefaults, ...config };
  const warmup = Math.round(warmupEpochs * stepsPerEpoch);
  const risen = step < warmup ? start + (1 - start) * step / warmup : 1;
  const total = config.epochs * stepsPerEpoch;
  const progress = step < warmup ? 0 : (step - warmup) / (total - warmup);
  return config.learningRate * risen * fallen(config, progress, Math.floor(step / stepsPerEpoch));
}

/** @param progress Of the steps after the warm-up: from 0 to below 1. */
function fallen(config: ScheduleFields, progress: number, epoch: number): number {
  const { schedule, finalFactor: final } = { ...optimizationDefaults, ...config };
  switch (schedule) {
    case "steps":
      return config.factor ** config.milestones.filter((milestone) => milestone <= epoch).length;
    case "cosine":
      return final + (1 - final) * (1 + Math.cos(Math.PI * progress)) / 2;
    case "linear":
      return 1 + (final - 1) * progress;
    case "constant":
      return 1;
  }
}

/** Whether the test split is evaluated after an epoch. */
export function isEvaluated(epoch: number, { epochs, evaluateEveryEpochs }: TrainingConfig): boolean {
  return epoch === epochs - 1 || (evaluateEveryEpochs > 0 && (epoch + 1) % evaluateEveryEpochs === 0);
}

/** Steps from `step` to the next checkpoint within an epoch; Infinity where there are none. */
export function stepsToCheckpoint(step: number, { checkpointEverySteps: every }: TrainingConfig): number {
  return every === 0 ? Infinity : every - step % every;
}

export function stepsPerEpoch(images: number, { batchSize }: TrainingConfig): number {
  return Math.ceil(images / batchSize);
}
