/** What a configuration says about each epoch and step; functions of the position alone, so a resumed run repeats them. */
import type { TrainingConfig } from "./messages.ts";

/** The learning rate of an epoch: multiplied by `factor` at each milestone up to it. */
export function learningRateOf(config: TrainingConfig, epoch: number): number {
  const passed = config.milestones.filter((milestone) => milestone <= epoch).length;
  return config.learningRate * config.factor ** passed;
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
