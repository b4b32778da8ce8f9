import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assertEquals, assertThrows } from "@std/assert";
import {
  Activation,
  DataPath,
  DepthRule,
  DropScaling,
  ErasingFill,
  Precision,
  ScheduleKind,
  Scheme,
  Shortcut,
  TrainingConfigSchema,
  Transition,
} from "../../../src/gen/mod.ts";
import type { TrainingConfig } from "../../../src/engine/mod.ts";
import { toTrainingConfig } from "../../../src/server/convert/run.ts";
import { InvalidFieldError } from "../../../src/server/errors.ts";
import { checkTrainingConfig, fillAugmentation } from "../../../src/server/validation/training_config.ts";
import { build } from "../../support/messages.ts";

type Fields = MessageInitShape<typeof TrainingConfigSchema>;

function check(changes: Fields) {
  return checkTrainingConfig(build(TrainingConfigSchema, { model: { name: "m" }, dataset: "d" }, changes));
}

Deno.test("checkTrainingConfig() fills in every default", () => {
  assertEquals(fillAugmentation(check({}), { cropPadding: 4, horizontalFlip: true }), {
    model: { name: "m" },
    dataset: "d",
    epochs: 1,
    batchSize: 64,
    seed: 0,
    limitTrain: undefined,
    limitTest: undefined,
    learningRate: 0.1,
    momentum: 0.9,
    weightDecay: 1e-4,
    decayMultistepCoefficients: true,
    nesterov: false,
    decayBatchNorm: true,
    decayBiases: true,
    clipGlobalNorm: 0,
    emaDecay: undefined,
    schedule: "steps",
    milestones: [],
    factor: 0.1,
    warmupEpochs: 0,
    warmupStartFactor: 0.01,
    finalFactor: 0,
    labelSmoothing: 0,
    cropPadding: 4,
    horizontalFlip: true,
    mixupAlpha: undefined,
    cutoutSize: undefined,
    randomErasing: undefined,
    precision: "f32",
    evaluateEveryEpochs: 1,
    checkpointEverySteps: 1000,
    checkpointsKept: 2,
    maxRetries: 2,
    dataPath: "auto",
  });
});

Deno.test("checkTrainingConfig() keeps what was set, zeros included", () => {
  const config = check({
    model: {
      name: "lm-resnext-29-8x64d",
      transition: Transition.PROJECT_BOTH,
      scheme: Scheme.LINEAR_MULTISTEP,
      activation: Activation.POST,
      shortcut: Shortcut.ZERO_PAD,
      perChannelCoefficients: true,
      columns: 3,
    },
    epochs: 100_000,
    batchSize: 2,
    seed: BigInt(Number.MAX_SAFE_INTEGER),
    limitTrain: 1,
    optimizer: {
      learningRate: 1e-9,
      momentum: 0,
      weightDecay: 0,
      decayMultistepCoefficients: false,
      decayBatchNorm: false,
      decayBiases: false,
      clipGlobalNorm: 2.5,
      emaDecay: 0.999,
    },
    schedule: { milestones: [0, 80, 120], factor: 0.5, warmupEpochs: 0.5, warmupStartFactor: 1 },
    labelSmoothing: 0.1,
    augmentation: {
      ...{ cropPadding: 0, horizontalFlip: false, mixupAlpha: 0.2, cutoutSize: 16 },
      ...{ randomErasingProbability: 1, randomErasingFill: ErasingFill.NOISE },
    },
    stochastic: { depth: { survival: 0.8, depthRule: DepthRule.ONE_BASED, dropScaling: DropScaling.TEST } },
    precision: Precision.F32,
    evaluateEveryEpochs: 0,
    checkpointEverySteps: 0,
    checkpointsKept: 1,
    maxRetries: 0,
    dataPath: DataPath.RESIDENT,
  });
  assertEquals(fillAugmentation(config, { cropPadding: 4, horizontalFlip: true }), {
    model: {
      name: "lm-resnext-29-8x64d",
      transition: "project_both",
      scheme: "linear_multistep",
      activation: "post",
      shortcut: "zero_pad",
      perChannelCoefficients: true,
      columns: 3,
    },
    dataset: "d",
    epochs: 100_000,
    batchSize: 2,
    seed: Number.MAX_SAFE_INTEGER,
    limitTrain: 1,
    limitTest: undefined,
    learningRate: 1e-9,
    momentum: 0,
    weightDecay: 0,
    decayMultistepCoefficients: false,
    nesterov: false,
    decayBatchNorm: false,
    decayBiases: false,
    clipGlobalNorm: 2.5,
    emaDecay: 0.999,
    schedule: "steps",
    milestones: [0, 80, 120],
    factor: 0.5,
    warmupEpochs: 0.5,
    warmupStartFactor: 1,
    finalFactor: 0,
    labelSmoothing: 0.1,
    cropPadding: 0,
    horizontalFlip: false,
    mixupAlpha: 0.2,
    cutoutSize: 16,
    randomErasing: { probability: 1, fill: "noise" },
    precision: "f32",
    evaluateEveryEpochs: 0,
    checkpointEverySteps: 0,
    checkpointsKept: 1,
    maxRetries: 0,
    dataPath: "resident",
    stochastic: { depth: { survival: 0.8, rule: "one_based", scaling: "test" } },
  });
});

Deno.test("checkTrainingConfig() takes each kind of schedule with the fields that it has", () => {
  const kinds = [ScheduleKind.STEPS, ScheduleKind.COSINE, ScheduleKind.LINEAR, ScheduleKind.CONSTANT];
  assertEquals(kinds.map((kind) => check({ schedule: { kind } }).schedule), ["steps", "cosine", "linear", "constant"]);
  const cosine = check({ epochs: 4, schedule: { kind: ScheduleKind.COSINE, warmupEpochs: 4, finalFactor: 0.1 } });
  assertEquals([cosine.warmupEpochs, cosine.finalFactor, cosine.milestones], [4, 0.1, []]);
  assertEquals(check({ optimizer: { nesterov: true } }).nesterov, true);
});

const configs: Fields[] = [
  {},
  { optimizer: { nesterov: true, decayBiases: false }, schedule: { milestones: [1], factor: 0.5 } },
  { epochs: 9, schedule: { kind: ScheduleKind.COSINE, warmupEpochs: 0.5, warmupStartFactor: 0.5, finalFactor: 0.25 } },
  { optimizer: { clipGlobalNorm: 1, emaDecay: 0.5 }, schedule: { kind: ScheduleKind.CONSTANT } },
];

Deno.test("checkTrainingConfig() takes a run's own configuration again, and makes the same of it", () => {
  for (const fields of configs) {
    const config = fillAugmentation(check(fields), { cropPadding: 4, horizontalFlip: true });
    assertEquals(checkTrainingConfig(create(TrainingConfigSchema, toTrainingConfig(config))), config);
  }
});

Deno.test("toTrainingConfig() tells the defaults of a configuration that an older version has stored", () => {
  const { model, dataset, epochs, batchSize, seed, learningRate, momentum, weightDecay, decayMultistepCoefficients } =
    check({});
  const { milestones, factor, labelSmoothing, precision, evaluateEveryEpochs, checkpointEverySteps } = check({});
  const older: TrainingConfig = {
    ...{ model, dataset, epochs, batchSize, seed, learningRate, momentum, weightDecay, decayMultistepCoefficients },
    ...{ milestones, factor, labelSmoothing, precision, evaluateEveryEpochs, checkpointEverySteps },
    ...{ cropPadding: 4, horizontalFlip: true, checkpointsKept: 2, maxRetries: 2 },
  };
  const today = fillAugmentation(check({}), { cropPadding: 4, horizontalFlip: true });
  assertEquals(
    create(TrainingConfigSchema, toTrainingConfig(older)),
    create(TrainingConfigSchema, toTrainingConfig(today)),
  );
});

const wrong: [Fields, string][] = [
  [{ model: undefined }, 'Field "config.model" must be set, got nothing'],
  [{ model: { name: "" } }, 'Field "config.model.name" must be 1 to 64 lower-case letters'],
  [{ model: { name: "LM ResNet" } }, 'got "LM ResNet"'],
  [
    { model: { name: "m", transition: 9 as Transition } },
    'Field "config.model.transition" must be TRANSITION_PLAIN (1), TRANSITION_PROJECT_BOTH (2), or left out',
  ],
  [{ model: { name: "m", scheme: 99 as Scheme } }, 'Field "config.model.scheme" must be SCHEME_FORWARD_EULER (1), '],
  [
    { model: { name: "m", shortcut: -1 as Shortcut } },
    'Field "config.model.shortcut" must be SHORTCUT_PROJECTION (1), SHORTCUT_BARE_PROJECTION (2), SHORTCUT_ZERO_PAD (3)',
  ],
  [{ dataset: "" }, 'Field "config.dataset" must be 1 to 64'],
  [{ dataset: "../mnist" }, 'got "../mnist"'],
  [{ dataset: "x".repeat(65) }, 'Field "config.dataset"'],
  [{ epochs: 0 }, 'Field "config.epochs" must be an integer from 1 to 100000, got 0'],
  [{ epochs: 100_001 }, "got 100001"],
  [{ batchSize: 0 }, 'Field "config.batch_size" must be an integer from 1 to 65535, got 0'],
  [{ batchSize: 65_536 }, 'Field "config.batch_size" must be an integer from 1 to 65535, got 65536'],
  [{ batchSize: 4_000_000_000 }, "got 4000000000"],
  [{ seed: 2n ** 53n }, 'Field "config.seed" must be an integer from 0 to 9007199254740991, got 9007199254740992'],
  [{ limitTrain: 0 }, 'Field "config.limit_train" must be an integer from 1 to'],
  [{ limitTest: 0 }, 'Field "config.limit_test" must be an integer from 1 to'],
  [{ optimizer: { learningRate: 0 } }, 'Field "config.optimizer.learning_rate" must be from 1.18e-38 to 3.4e38, got 0'],
  [{ optimizer: { learningRate: -0.1 } }, "got -0.1"],
  [{ optimizer: { learningRate: NaN } }, "got NaN"],
  [{ optimizer: { learningRate: Infinity } }, "got Infinity"],
  [{ optimizer: { momentum: 1 } }, 'Field "config.optimizer.momentum" must be from 0 to below 1, got 1'],
  [{ optimizer: { momentum: NaN } }, "got NaN"],
  [
    { optimizer: { weightDecay: -1 } },
    'Field "config.optimizer.weight_decay" must be 0, or from 1.18e-38 to 3.4e38, got -1',
  ],
  [
    { schedule: { milestones: [3, 3] } },
    'Field "config.schedule.milestones[1]" must be an integer from 4 to 100000, got 3',
  ],
  [
    { optimizer: { momentum: 0, nesterov: true } },
    'Field "config.optimizer.nesterov" must be false where the momentum is 0, got true',
  ],
  [
    { optimizer: { clipGlobalNorm: -1 } },
    'Field "config.optimizer.clip_global_norm" must be 0, or from 1.18e-38 to 3.4e38, got -1',
  ],
  [{ optimizer: { clipGlobalNorm: Infinity } }, "got Infinity"],
  [{ optimizer: { clipGlobalNorm: 1e-39 } }, "got 1e-39"],
  [
    { optimizer: { weightDecay: 3.5e38 } },
    'Field "config.optimizer.weight_decay" must be 0, or from 1.18e-38 to 3.4e38, got 3.5e+38',
  ],
  [{ optimizer: { weightDecay: 1e-300 } }, "got 1e-300"],
  [{ optimizer: { learningRate: 1e-300 } }, 'Field "config.optimizer.learning_rate" must be from 1.18e-38'],
  [
    { optimizer: { emaDecay: 0 } },
    'Field "config.optimizer.ema_decay" must be above 0 and at most 0.999999, or left out, got 0',
  ],
  [{ optimizer: { emaDecay: 1 } }, "got 1"],
  [{ optimizer: { emaDecay: 0.9999999 } }, "got 0.9999999"],
  [{ optimizer: { emaDecay: NaN } }, "got NaN"],
  [
    { schedule: { kind: 9 as ScheduleKind } },
    'Field "config.schedule.kind" must be SCHEDULE_KIND_STEPS (1), SCHEDULE_KIND_COSINE (2), SCHEDULE_KIND_LINEAR (3), ',
  ],
  [
    { schedule: { kind: ScheduleKind.COSINE, milestones: [1, 2] } },
    'Field "config.schedule.milestones" must be left out: SCHEDULE_KIND_STEPS alone has it, got "1,2"',
  ],
  [
    { schedule: { kind: ScheduleKind.LINEAR, factor: 0.5 } },
    'Field "config.schedule.factor" must be left out: SCHEDULE_KIND_STEPS alone has it, got 0.5',
  ],
  [
    { schedule: { finalFactor: 0.5 } },
    'Field "config.schedule.final_factor" must be left out: SCHEDULE_KIND_COSINE and SCHEDULE_KIND_LINEAR alone have it',
  ],
  [
    { schedule: { kind: ScheduleKind.COSINE, finalFactor: 1.5 } },
    'Field "config.schedule.final_factor" must be from 0 to 1, got 1.5',
  ],
  [
    { epochs: 2, schedule: { warmupEpochs: 2.5 } },
    'Field "config.schedule.warmup_epochs" must be from 0 to 2, got 2.5',
  ],
  [{ schedule: { warmupEpochs: -1 } }, "got -1"],
  [{ schedule: { warmupEpochs: NaN } }, "got NaN"],
  [
    { schedule: { warmupEpochs: 1, warmupStartFactor: 0 } },
    'Field "config.schedule.warmup_start_factor" must be above 0 and at most 1, got 0',
  ],
  [{ schedule: { warmupEpochs: 1, warmupStartFactor: 1.1 } }, "got 1.1"],
  [
    { schedule: { warmupStartFactor: 0.5 } },
    'Field "config.schedule.warmup_start_factor" must be left out without warmup_epochs, got 0.5',
  ],
  [{ schedule: { factor: 0.5 } }, 'Field "config.schedule.factor" must be left out without milestones, got 0.5'],
  [
    { schedule: { milestones: [1], factor: 0 } },
    'Field "config.schedule.factor" must be a finite number above 0, got 0',
  ],
  [{ labelSmoothing: 1 }, 'Field "config.label_smoothing" must be from 0 to below 1, got 1'],
  [{ labelSmoothing: -0.1 }, "got -0.1"],
  [
    { augmentation: { cropPadding: 65 } },
    'Field "config.augmentation.crop_padding" must be an integer from 0 to 64, got 65',
  ],
  [
    { augmentation: { mixupAlpha: -1 } },
    'Field "config.augmentation.mixup_alpha" must be 0, or from 1.18e-38 to 3.4e38',
  ],
  [{ augmentation: { mixupAlpha: 1e-310 } }, "got 1e-310"],
  [{ augmentation: { mixupAlpha: NaN } }, "got NaN"],
  [
    { batchSize: 1, augmentation: { mixupAlpha: 0.2 } },
    'Field "config.augmentation.mixup_alpha" must be 0 with a batch size of 1, which has no second image, got 0.2',
  ],
  [{ augmentation: { mixupAlpha: 101 } }, 'Field "config.augmentation.mixup_alpha" must be at most 100, got 101'],
  [
    { augmentation: { cutoutSize: 4097 } },
    'Field "config.augmentation.cutout_size" must be an integer from 0 to 4096, got 4097',
  ],
  [
    { augmentation: { randomErasingProbability: 1.5 } },
    'Field "config.augmentation.random_erasing_probability" must be from 0 to 1, got 1.5',
  ],
  [{ augmentation: { randomErasingProbability: NaN } }, "got NaN"],
  [
    { augmentation: { randomErasingProbability: 0.5, randomErasingFill: 3 as ErasingFill } },
    'Field "config.augmentation.random_erasing_fill" must be ERASING_FILL_ZERO (1), ERASING_FILL_NOISE (2), or left out',
  ],
  [
    { augmentation: { randomErasingFill: ErasingFill.NOISE } },
    'Field "config.augmentation.random_erasing_fill" must be left out without a random_erasing_probability',
  ],
  [
    { precision: 7 as Precision },
    'Field "config.precision" must be PRECISION_F32 (1), PRECISION_MIXED (2), or left out, got 7',
  ],
  [{ evaluateEveryEpochs: 100_001 }, 'Field "config.evaluate_every_epochs" must be an integer from 0 to 100000'],
  [{ checkpointsKept: 0 }, 'Field "config.checkpoints_kept" must be an integer from 1 to 1000, got 0'],
  [{ maxRetries: 101 }, 'Field "config.max_retries" must be an integer from 0 to 100, got 101'],
  [
    { dataPath: 4 as DataPath },
    'Field "config.data_path" must be DATA_PATH_AUTO (1), DATA_PATH_RESIDENT (2), DATA_PATH_HOST (3), or left out, got 4',
  ],
];

for (const [changes, text] of wrong) {
  const shown = JSON.stringify(
    changes,
    (_key, value) => typeof value === "bigint" || Number.isNaN(value) ? `${value}` : value,
  );
  Deno.test(`checkTrainingConfig() refuses ${shown.slice(0, 90)}`, () => {
    assertThrows(() => check(changes), InvalidFieldError, text);
  });
}

Deno.test("checkTrainingConfig() refuses a missing configuration", () => {
  assertThrows(() => checkTrainingConfig(undefined), InvalidFieldError, 'Field "config" must be set, got nothing');
});
