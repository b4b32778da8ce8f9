import type { DatasetDescription } from "../data/mod.ts";
import { type Interlude, mebibytes, MemoryLimitError, type Plan } from "../gpu/mod.ts";
import { bytesKept, imagesBytes } from "./data_path.ts";
import { memoryOf } from "./memory.ts";
import { EngineError, type MemoryQuestion, type TrainingConfig, type TrainingMemory } from "./messages.ts";
import {
  evaluationProgram,
  type NetworkShape,
  type Program,
  type TrainingChoices,
  trainingProgram,
} from "./programs.ts";
import { type PlanningContext, planProgram } from "./runner.ts";

/** One program with its plan. */
export interface Planned {
  readonly program: Program;
  readonly plan: Plan;
}

/** What a training run executes. */
export interface TrainingPlans {
  readonly full: Planned;
  /** For the last batch of an epoch, where batches do not divide the images. */
  readonly tail?: Planned;
  readonly evaluation: Planned;
  readonly evaluationBatch: number;
  /** Of the images that stay in GPU memory; 0: each batch travels. */
  readonly imageBytes: number;
}

/** A network for the images of a data set. */
function shapeFor(config: TrainingConfig, dataset: DatasetDescription): NetworkShape {
  const { model, stochastic } = config;
  return { model, images: dataset, classes: dataset.classNames.length, stochastic };
}

/** A data set as a run uses it: of the size that the configuration asks for. */
export function sizedFor(config: TrainingConfig, dataset: DatasetDescription): DatasetDescription {
  return config.image ? { ...dataset, ...config.image } : dataset;
}

/** Images of each split that a configuration uses. */
export function imagesUsed(config: Pick<TrainingConfig, "limitTrain" | "limitTest">, { images }: DatasetDescription) {
  return {
    train: Math.min(images.train, config.limitTrain ?? images.train),
    test: Math.min(images.test, config.limitTest ?? images.test),
  };
}

/** What is planned for, and the interlude between the parts of planning: a thousand layers take seconds. */
export interface PlanningParts {
  readonly dataset: DatasetDescription;
  readonly interlude: Interlude;
}

/**
 * Plans everything a run needs.
 * @throws what the interlude throws.
 * @throws {EngineError} `exhausted`, naming the largest batch that fits, or the images that do not; `invalid` when a batch
 * is larger than the split, or cutout's square than an image.
 * @throws {ModelError} for an unknown network.
 */
export async function planTraining(
  context: PlanningContext,
  config: TrainingConfig,
  parts: PlanningParts,
): Promise<TrainingPlans> {
  const { dataset } = parts;
  const used = imagesUsed(config, dataset);
  const { batchSize } = config;
  if (batchSize > used.train) {
    throw new EngineError(
      "invalid",
      `Cannot train with batch size ${batchSize}: ${dataset.name} gives ${used.train} training images`,
    );
  }
  if (used.test === 0) throw new EngineError("invalid", `Cannot train on ${dataset.name}: it has no test images`);
  requireCutoutWithin(config, dataset);
  try {
    return await planWithin(context, config, parts);
  } catch (error) {
    if (!(error instanceof MemoryLimitError)) throw error;
    const largest = await largestFittingBatch(context, config, { ...parts, error });
    const advice = largest === 0 ? "not even one image fits" : `the largest batch that fits is ${largest}`;
    throw new EngineError(
      "exhausted",
      `Cannot train ${config.model.name} with batch size ${batchSize}: ${error.message}; ${advice}`,
      { cause: error },
    );
  }
}

/** Squares of the images' size and more leave little or nothing to learn from. */
function requireCutoutWithin({ cutoutSize = 0 }: TrainingConfig, { name, height, width }: DatasetDescription): void {
  if (cutoutSize < Math.min(height, width)) return;
  throw new EngineError(
    "invalid",
    `Cannot cut squares of ${cutoutSize} pixels out of ${name}: its images are ${height}x${width}, choose a smaller side`,
  );
}

async function planWithin(
  context: PlanningContext,
  config: TrainingConfig,
  { dataset, interlude }: PlanningParts,
): Promise<TrainingPlans> {
  const { batchSize } = config;
  const used = imagesUsed(config, dataset);
  const size = { choices: config, batchSize, images: used, interlude };
  const plans = await planRun(context, shapeFor(config, dataset), size);
  const { total: run } = memoryOf(plans);
  const { memoryBudget = Infinity } = context.device;
  if (run > memoryBudget) throw new MemoryLimitError("A run", run, memoryBudget);
  if (dataset.kind === "streamed") {
    if (config.dataPath !== "resident") return plans;
    throw new EngineError(
      "invalid",
      `Cannot keep the images of ${dataset.name} in GPU memory: the data set is streamed; use data path auto or host`,
    );
  }
  const images = imagesBytes({ size: dataset, used }, context.device);
  const kept = bytesKept(config.dataPath, { images, run }, context.device);
  if (run + kept > memoryBudget) {
    throw new EngineError(
      "exhausted",
      `Cannot keep the images of ${dataset.name} in GPU memory: they need ${mebibytes(kept)}, and beside the run's ` +
        `${mebibytes(run)} there is room for ${mebibytes(memoryBudget - run)}; use data path auto or host`,
    );
  }
  return { ...plans, imageBytes: kept };
}

interface RunSize {
  readonly choices: TrainingChoices;
  readonly batchSize: number;
  readonly images: { readonly train: number; readonly test: number };
  readonly interlude?: Interlude;
}

/**
 * The plans of a run whose images travel.
 * @throws {MemoryLimitError} when one of them is past the budget.
 */
async function planRun(
  context: PlanningContext,
  shape: NetworkShape,
  { choices, batchSize, images, interlude }: RunSize,
): Promise<TrainingPlans> {
  const plan = async (program: Program): Promise<Planned> => {
    return { program, plan: await planProgram(context, program, interlude) };
  };
  const remainder = images.train % batchSize;
  const evaluationBatch = Math.min(batchSize, images.test);
  return {
    full: await plan(trainingProgram(shape, choices, batchSize)),
    tail: remainder > 0 ? await plan(trainingProgram(shape, choices, remainder)) : undefined,
    evaluation: await plan(evaluationProgram(shape, evaluationBatch)),
    evaluationBatch,
    imageBytes: 0,
  };
}

/**
 * The GPU memory that a run would need, whether or not the budget has so much.
 * @throws {EngineError} `exhausted` when one buffer is past the adapter's limit.
 * @throws {ModelError} for an unknown network.
 */
export async function trainingMemory(
  { device, tuner }: PlanningContext,
  question: MemoryQuestion,
  interlude?: Interlude,
): Promise<TrainingMemory> {
  const { model, height, width, channels, classes, batchSize, precision, emaDecay } = question;
  const { images = { train: batchSize, test: batchSize } } = question;
  const perChannel = (value: number) => Array.from({ length: channels }, () => value);
  // But for the last two, values that change what is computed with, and no buffer's size.
  const choices = {
    cropPadding: 0,
    horizontalFlip: false,
    labelSmoothing: 0,
    momentum: 0.9,
    weightDecay: 1e-4,
    precision,
    emaDecay,
  };
  const format = { height, width, channels, mean: perChannel(0), standardDeviation: perChannel(1) };
  const { adapter, target } = device;
  const unbounded = { device: { adapter, target, memoryBudget: undefined }, tuner };
  try {
    const shape = { model, images: format, classes };
    const plans = await planRun(unbounded, shape, { choices, batchSize, images, interlude });
    return memoryOf({ ...plans, imageBytes: imagesKept(device, question, memoryOf(plans).total) });
  } catch (error) {
    if (!(error instanceof MemoryLimitError)) throw error;
    const message = `Cannot train ${model.name} with batch size ${batchSize}: ${error.message}`;
    throw new EngineError("exhausted", message, { cause: error });
  }
}

function imagesKept(device: PlanningContext["device"], question: MemoryQuestion, run: number): number {
  const { images: used, dataPath } = question;
  if (!used) return 0;
  return bytesKept(dataPath, { images: imagesBytes({ size: question, used }, device), run }, device);
}

/** Bisects on the plan of a full batch. */
async function largestFittingBatch(
  context: PlanningContext,
  config: TrainingConfig,
  { dataset, interlude, error }: PlanningParts & { readonly error: MemoryLimitError },
): Promise<number> {
  const shape = shapeFor(config, dataset);
  const fits = async (batchSize: number) => {
    try {
      await planProgram(context, trainingProgram(shape, config, batchSize), interlude);
      return true;
    } catch (error) {
      if (error instanceof MemoryLimitError) return false;
      throw error;
    }
  };
  // Bytes grow at most in proportion to the batch, so what exceeded the limit tells about where it lies.
  const near = Math.ceil(config.batchSize * error.limit / error.bytes);
  let [low, high] = [0, Math.min(config.batchSize, near * 2)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
