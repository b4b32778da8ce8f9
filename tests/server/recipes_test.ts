/** The recipes themselves, and how a request's own fields override theirs. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DropScaling, ScheduleKind, TrainingConfigSchema } from "../../src/gen/mod.ts";
import { describeModel } from "../../src/models/mod.ts";
import { toTrainingConfig } from "../../src/server/convert/run.ts";
import { InvalidFieldError } from "../../src/server/errors.ts";
import { recipes } from "../../src/server/recipes/table.ts";
import {
  type CheckedConfig,
  checkTrainingConfig,
  fillAugmentation,
} from "../../src/server/validation/training_config.ts";

function resolve(fields: MessageInitShape<typeof TrainingConfigSchema>): CheckedConfig {
  return checkTrainingConfig(create(TrainingConfigSchema, fields));
}

for (const { name, source, description } of recipes) {
  Deno.test(`recipe ${name} is a valid configuration of a network that there is, with a tagged source`, () => {
    const config = resolve({ recipe: name });
    assertEquals(config.recipe, name);
    const size = config.dataset === "imagenet" ? 224 : 32;
    assert(describeModel(config.model, { height: size, width: size, channels: 3 }, 10).parameters > 0);
    assert(/\[(c|m|ours)\]/.test(source), source);
    assert(!description.endsWith("."), description);
  });
}

Deno.test("recipes have names of their own", () => {
  assertEquals(new Set(recipes.map(({ name }) => name)).size, recipes.length);
});

Deno.test("recipe lm-cifar10 is the paper's", () => {
  const { epochs, batchSize, learningRate, momentum, nesterov, weightDecay, milestones, factor, schedule, ...rest } =
    resolve({ recipe: "lm-cifar10" });
  assertEquals([epochs, batchSize, learningRate, momentum, nesterov, weightDecay], [160, 128, 0.1, 0.9, false, 1e-4]);
  assertEquals([schedule, milestones, factor], ["steps", [80, 120], 0.1]);
  assertEquals([rest.decayMultistepCoefficients, rest.decayBatchNorm, rest.decayBiases], [true, true, true]);
  assertEquals([rest.cropPadding, rest.horizontalFlip, rest.labelSmoothing], [4, true, 0]);
  assertEquals([rest.model, rest.dataset], [{ name: "lm-resnet-20" }, "cifar10"]);
});

Deno.test("checkTrainingConfig() overrides a recipe's stochastic depth field by field", () => {
  const { stochastic } = resolve({ recipe: "lm-stochastic-56-cifar10", stochastic: { depth: { survival: 0.6 } } });
  assertEquals(stochastic, { depth: { survival: 0.6, rule: "zero_based", scaling: "training" } });
  const test = { depth: { dropScaling: DropScaling.TEST } };
  assertEquals(resolve({ recipe: "lm-stochastic-56-cifar10", stochastic: test }).stochastic, {
    depth: { survival: 0.8, rule: "zero_based", scaling: "test" },
  });
  assertThrows(
    () => resolve({ recipe: "lm-cifar10", stochastic: test }),
    InvalidFieldError,
    "config.stochastic.depth.survival",
  );
});

Deno.test("checkTrainingConfig() lets every field that is set override the recipe's, zeros included", () => {
  const config = resolve({
    recipe: "lm-resnext-cifar10",
    dataset: "digits",
    batchSize: 32,
    seed: 7n,
    optimizer: { weightDecay: 0, nesterov: true },
    schedule: { milestones: [1, 2, 3] },
    augmentation: { horizontalFlip: false },
  });
  assertEquals([config.dataset, config.batchSize, config.seed], ["digits", 32, 7]);
  assertEquals([config.learningRate, config.weightDecay, config.nesterov], [0.1, 0, true]);
  assertEquals([config.epochs, config.milestones, config.factor], [300, [1, 2, 3], 0.1]);
  assertEquals([config.cropPadding, config.horizontalFlip], [4, false]);
  // The table is as it was.
  assertEquals(resolve({ recipe: "lm-resnext-cifar10" }).milestones, [150, 225]);
});

Deno.test("checkTrainingConfig() replaces a recipe's model by one with a name, and adds choices without one to it", () => {
  const modelOf = (model: MessageInitShape<typeof TrainingConfigSchema>["model"]) =>
    resolve({ recipe: "lm-cifar10", model }).model;
  assertEquals(modelOf({ name: "lm-resnet-56" }), { name: "lm-resnet-56" });
  assertEquals(modelOf({ perChannelCoefficients: true }), { name: "lm-resnet-20", perChannelCoefficients: true });
  assertThrows(() => resolve({ dataset: "d", model: {} }), InvalidFieldError, "config.model.name");
});

const stretched: [epochs: number, milestones: number[]][] = [
  [160, [80, 120]],
  [320, [160, 240]],
  [16, [8, 12]],
  [10, [5, 8]],
  [3, [2]],
  [1, [1]],
];

for (const [epochs, milestones] of stretched) {
  Deno.test(`checkTrainingConfig() stretches milestones 80 and 120 of 160 epochs to ${milestones} of ${epochs}`, () => {
    assertEquals(resolve({ recipe: "lm-cifar10", epochs }).milestones, milestones);
  });
}

Deno.test("checkTrainingConfig() stretches a recipe's warm-up with the epochs, and leaves one that is set", () => {
  assertEquals(resolve({ recipe: "cifar10-short", epochs: 15 }).warmupEpochs, 1);
  assertEquals(resolve({ recipe: "cifar10-short", epochs: 1 }).warmupEpochs, 2 / 30);
  assertEquals(resolve({ recipe: "cifar10-short", epochs: 15, schedule: { warmupEpochs: 3 } }).warmupEpochs, 3);
  assertEquals(resolve({ recipe: "lm-cifar10", epochs: 15, schedule: { milestones: [2] } }).milestones, [2]);
});

Deno.test("checkTrainingConfig() drops what another kind of schedule has no use for", () => {
  const cosine = resolve({ recipe: "lm-cifar10", schedule: { kind: ScheduleKind.COSINE, warmupEpochs: 5 } });
  assertEquals([cosine.schedule, cosine.milestones, cosine.warmupEpochs], ["cosine", [], 5]);
  const steps = resolve({ recipe: "cifar10-short", schedule: { kind: ScheduleKind.STEPS, milestones: [20] } });
  assertEquals([steps.schedule, steps.milestones, steps.warmupEpochs], ["steps", [20], 2]);
  const same = resolve({ recipe: "lm-cifar10", schedule: { kind: ScheduleKind.STEPS } });
  assertEquals(same.milestones, [80, 120]);
});

Deno.test("checkTrainingConfig() takes the configuration of a run by recipe again, and makes the same of it", () => {
  for (const { name } of recipes) {
    const config = fillAugmentation(resolve({ recipe: name, epochs: 7 }), { cropPadding: 1, horizontalFlip: true });
    assertEquals(checkTrainingConfig(create(TrainingConfigSchema, toTrainingConfig(config))), config);
  }
});

Deno.test("checkTrainingConfig() refuses an unknown recipe, and names those that there are", () => {
  assertThrows(
    () => resolve({ recipe: "lm-cifar" }),
    InvalidFieldError,
    'Field "config.recipe" must be one of lm-cifar10, resnet-cifar10, ',
  );
});
