/** A training run of the real engine that takes seconds on software Vulkan. */
import type { TrainingConfig } from "../../src/engine/mod.ts";

/** 3 epochs of 6 steps, the last of each smaller; every augmentation there is. */
export const smallConfig: TrainingConfig = {
  model: { name: "lm-resnet-8" },
  dataset: "mnist",
  epochs: 3,
  batchSize: 8,
  seed: 11,
  limitTrain: 44,
  limitTest: 16,
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [1, 2],
  factor: 0.5,
  labelSmoothing: 0.1,
  cropPadding: 2,
  horizontalFlip: true,
  mixupAlpha: 0.4,
  cutoutSize: 6,
  randomErasing: { probability: 0.5, fill: "noise" },
  precision: "f32",
  evaluateEveryEpochs: 1,
  checkpointEverySteps: 0,
  checkpointsKept: 2,
  maxRetries: 0,
};

/** The worker that an engine on a data folder runs. */
export function workerProcessId(dataDir: string): number {
  return Number(Deno.readTextFileSync(`${dataDir}/engine.lock`));
}
