/** TrainingConfig: every field checked, every default filled in. */
import type { TrainingConfig } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { resolveRecipe } from "../recipes/resolve.ts";
import { type AugmentationDefaults, checkAugmentation } from "./augmentation.ts";
import { BATCH_SIZES, checkEnum, checkFraction, checkInteger, checkName, checkPresent, checkText } from "./fields.ts";
import { checkModelSpec } from "./model_spec.ts";
import { checkOptimizer, checkSchedule } from "./optimization.ts";
import { checkStochastic } from "./stochastic.ts";

/** Everything but the augmentation, whose defaults are the data set's. */
export type CheckedConfig =
  & Omit<TrainingConfig, "cropPadding" | "horizontalFlip">
  & Partial<AugmentationDefaults>;

const mostImages = 2 ** 32 - 1;
const mostEpochs = 100_000;
const precisions = {
  [proto.Precision.UNSPECIFIED]: "f32",
  [proto.Precision.F32]: "f32",
  [proto.Precision.MIXED]: "mixed",
} as const;

const allowedPrecisions = "PRECISION_F32 (1), PRECISION_MIXED (2), or left out";

const dataPaths = {
  [proto.DataPath.UNSPECIFIED]: "auto",
  [proto.DataPath.AUTO]: "auto",
  [proto.DataPath.RESIDENT]: "resident",
  [proto.DataPath.HOST]: "host",
} as const;

const allowedDataPaths = "DATA_PATH_AUTO (1), DATA_PATH_RESIDENT (2), DATA_PATH_HOST (3), or left out";

/** @throws {InvalidFieldError} for the first field that is not allowed. */
export function checkTrainingConfig(message: proto.TrainingConfig | undefined): CheckedConfig {
  const config = resolveRecipe(checkPresent("config", message, "set"));
  const { epochs = 1, batchSize = 64, evaluateEveryEpochs = 1, labelSmoothing = 0 } = config;
  const { checkpointEverySteps = 1000, checkpointsKept = 2, maxRetries = 2 } = config;
  const stochastic = checkStochastic("config.stochastic", config.stochastic);
  return {
    ...(config.recipe && { recipe: config.recipe }),
    model: checkModelSpec("config.model", config.model),
    dataset: checkName("config.dataset", config.dataset),
    epochs: checkInteger("config.epochs", epochs, { min: 1, max: mostEpochs }),
    batchSize: checkInteger("config.batch_size", batchSize, BATCH_SIZES),
    seed: checkSeed(config.seed ?? 0n),
    limitTrain: checkLimit("config.limit_train", config.limitTrain),
    limitTest: checkLimit("config.limit_test", config.limitTest),
    ...checkOptimizer(config.optimizer),
    ...checkSchedule(config.schedule, { epochs, mostEpochs }),
    labelSmoothing: checkFraction("config.label_smoothing", labelSmoothing),
    ...checkAugmentation(config.augmentation, { batchSize }),
    precision: checkPrecision("config.precision", config.precision),
    evaluateEveryEpochs: checkInteger("config.evaluate_every_epochs", evaluateEveryEpochs, { min: 0, max: mostEpochs }),
    checkpointEverySteps: checkInteger("config.checkpoint_every_steps", checkpointEverySteps, {
      min: 0,
      max: 2 ** 32 - 1,
    }),
    checkpointsKept: checkInteger("config.checkpoints_kept", checkpointsKept, { min: 1, max: 1000 }),
    maxRetries: checkInteger("config.max_retries", maxRetries, { min: 0, max: 100 }),
    ...checkInitialCheckpoint(config.initialCheckpoint),
    dataPath: checkEnum("config.data_path", config.dataPath, dataPaths, allowedDataPaths),
    ...(stochastic && { stochastic }),
  };
}

/** @throws {InvalidFieldError} */
export function checkPrecision(field: string, value: proto.Precision): TrainingConfig["precision"] {
  return checkEnum(field, value, precisions, allowedPrecisions);
}

export function fillAugmentation(config: CheckedConfig, defaults: AugmentationDefaults): TrainingConfig {
  const { cropPadding = defaults.cropPadding, horizontalFlip = defaults.horizontalFlip } = config;
  return { ...config, cropPadding, horizontalFlip };
}

/** Up to where a JavaScript number is exact. */
function checkSeed(seed: bigint): number {
  if (seed <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(seed);
  throw new InvalidFieldError("config.seed", seed, `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
}

function checkLimit(field: string, limit: number | undefined): number | undefined {
  return limit === undefined ? undefined : checkInteger(field, limit, { min: 1, max: mostImages });
}

/** A path that is not yet known to be one that the server may read. */
function checkInitialCheckpoint(path: string | undefined): Pick<TrainingConfig, "initialCheckpoint"> {
  return path === undefined
    ? {}
    : { initialCheckpoint: checkText("config.initial_checkpoint", path, { min: 1, max: 4096 }) };
}
