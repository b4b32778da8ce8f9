/** The training, evaluation and inference loops, in a worker process that owns the GPU. */
export { startEngine } from "./supervisor.ts";
export type { AugmentationChoices } from "./augmentation.ts";
export * from "./messages.ts";
export { optimizationDefaults, type ScheduleKind } from "./optimization.ts";
