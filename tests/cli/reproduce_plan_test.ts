import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { UsageError } from "../../src/cli/errors.ts";
import { scaleRecipe } from "../../src/cli/reproduce/budget.ts";
import { deviations } from "../../src/cli/reproduce/deviations.ts";
import { plannedRuns, planRuns } from "../../src/cli/reproduce/plan.ts";
import {
  cifar100Resnext,
  cifar10Depth,
  imagenet,
  type Network,
  stochasticDepth,
  type Table,
  tables,
} from "../../src/cli/reproduce/tables.ts";
import { DatasetSchema } from "../../src/gen/mod.ts";

/** "8.75c 8.33c" a row, in the paper's order; what is not reported is "-". */
function errors({ rows }: Table): string[] {
  return rows.map(({ name, residual, multistep }) => `${name}: ${errorText(residual)} ${errorText(multistep)}`);
}

function errorText({ error }: Network): string {
  return error === undefined ? "-" : `${error.value}${error.tag}`;
}

function parameters({ rows }: Table): string[] {
  return rows.flatMap(({ residual, multistep }) => [residual, multistep]).map(({ parameters: published }) =>
    published === undefined ? "-" : `${published.value}${published.tag}`
  );
}

Deno.test("tables have the paper's errors, each with its tag", () => {
  assertEquals(errors(cifar10Depth), [
    "20: 8.75c 8.33c",
    "32: 7.51c 7.18c",
    "44: 7.17c 6.66c",
    "56: 6.97c 6.31c",
    "110: 6.37c -",
  ]);
  assertEquals(errors(cifar100Resnext), [
    "110: 27.76m 25.87m",
    "164: 24.33m 22.9m",
    "8x64d: 17.77c 17.49m",
    "16x64d: 17.31c 16.79m",
  ]);
  assertEquals(errors(stochasticDepth), ["56: 5.66m 5.14m", "110: 5.25m 4.8m", "1202: 4.91m -"]);
  assertEquals(errors(imagenet), ["50: 24.7c 23.8c", "101: 23.6c 22.6c"]);
});

Deno.test("tables have the paper's parameter counts in millions, each with its tag", () => {
  assertEquals(parameters(cifar10Depth).join(" "), "0.27m 0.27m 0.46m 0.46m 0.66m 0.66m 0.85m 0.85m 1.7m 1.7m");
  assertEquals(parameters(cifar100Resnext).join(" "), "- - - - 34.4c 35.1m 68.1c 68.8m");
});

Deno.test("tables have the paper's recipes", () => {
  const text = ({ recipe: { epochs, milestones, batchSize, weightDecay, tag } }: Pick<Table, "recipe">) =>
    `${epochs} ${milestones} ${batchSize} ${weightDecay} ${tag}`;
  assertEquals(tables.map(text), [
    "160 80,120 128 0.0001 c",
    "300 150,225 128 0.0001 m",
    "500 250,375 128 0.0001 c",
    "90 30,60 256 0.0001 m",
  ]);
  assertEquals(cifar100Resnext.rows.map(({ recipe }) => recipe?.weightDecay), [undefined, undefined, 5e-4, 5e-4]);
  for (const { recipe } of tables) assertEquals([recipe.learningRate, recipe.momentum], [0.1, 0.9]);
});

Deno.test("every network of a table is another one, and a row's two differ in their scheme alone", () => {
  for (const { rows } of tables) {
    const models = rows.flatMap(({ residual, multistep }) => [residual.model, multistep.model]);
    assertEquals(new Set(models).size, models.length);
    for (const { residual, multistep } of rows) assertEquals(multistep.model, `lm-${residual.model}`);
  }
});

Deno.test("scaleRecipe() keeps the milestones' share of the training", () => {
  const milestones = (epochs: number) => scaleRecipe(cifar10Depth.recipe, { epochs }).milestones;
  assertEquals(milestones(160), [80, 120]);
  assertEquals(milestones(12), [6, 9]);
  assertEquals(milestones(320), [160, 240]);
  assertEquals(milestones(2), [1]);
  assertEquals(milestones(1), []);
  for (let epochs = 1; epochs < 40; epochs++) {
    const scaled = milestones(epochs);
    assert(scaled.every((epoch, index) => epoch > (scaled[index - 1] ?? 0) && epoch < epochs));
  }
  const scaled = scaleRecipe(cifar10Depth.recipe, { epochs: 8, batchSize: 32 });
  assertEquals(scaled, { ...cifar10Depth.recipe, epochs: 8, batchSize: 32, milestones: [4, 6] });
});

Deno.test("planRuns() trains both networks of each row with each seed", async () => {
  const plan = await planRuns(cifar10Depth, { rows: ["56", "20"], seeds: 2 });
  assertEquals(plannedRuns(plan).map(({ model, seed }) => `${model} ${seed}`), [
    "resnet-20 1",
    "resnet-20 2",
    "lm-resnet-20 1",
    "lm-resnet-20 2",
    "resnet-56 1",
    "resnet-56 2",
    "lm-resnet-56 1",
    "lm-resnet-56 2",
  ]);
  assertEquals(plannedRuns(plan)[0].config, {
    model: { name: "resnet-20" },
    dataset: "cifar10",
    epochs: 160,
    batchSize: 128,
    seed: 1n,
    limitTrain: undefined,
    limitTest: undefined,
    optimizer: { learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4 },
    schedule: { milestones: [80, 120], factor: 0.1 },
    augmentation: { cropPadding: 4, horizontalFlip: true },
    stochastic: undefined,
  });
  assertEquals((await planRuns(cifar10Depth, { seeds: 3 })).networks.length, 10);
});

Deno.test("planRuns() takes another data set as it is, and a row's own recipe", async () => {
  const plan = await planRuns(cifar100Resnext, {
    rows: ["164", "8x64d"],
    seeds: 1,
    dataset: "digits",
    epochs: 4,
    limitTrain: 100,
    limitTest: 50,
  });
  const configs = plannedRuns(plan).map(({ config }) => config);
  assertEquals(configs.map(({ optimizer }) => optimizer?.weightDecay), [1e-4, 1e-4, 5e-4, 5e-4]);
  for (const { dataset, augmentation, limitTrain, limitTest, schedule } of configs) {
    assertEquals([dataset, augmentation, limitTrain, limitTest], ["digits", undefined, 100, 50]);
    assertEquals(schedule?.milestones, [2, 3]);
  }
});

Deno.test("planRuns() drops blocks in the table of stochastic depth, with the authors' probabilities", async () => {
  const plan = await planRuns(stochasticDepth, { seeds: 1 });
  assertEquals(
    plannedRuns(plan).map(({ model, config }) => `${model} ${config.stochastic?.depth?.survival}`),
    [
      "resnet-56 0.8",
      "lm-resnet-56 0.8",
      "resnet-110 0.5",
      "lm-resnet-110 0.5",
      "resnet-1202 0.5",
      "lm-resnet-1202 0.5",
    ],
  );
});

Deno.test("a planned run's request id is its table, row, seed and configuration's", async () => {
  const ids = async (options: Partial<Parameters<typeof planRuns>[1]>) =>
    plannedRuns(await planRuns(cifar10Depth, { rows: ["20"], seeds: 2, ...options })).map(({ requestId }) => requestId);
  const [first, ...others] = await ids({});
  // Fixed for good: a changed id would train everything again that a server has.
  assertEquals(first, "reproduce/cifar10-depth/20/resnet-20/1/9850d1356b5af26c");
  assertEquals(await ids({}), [first, ...others]);
  assertEquals((await ids({ rows: ["20", "32"], seeds: 1 }))[0], first);
  assert((await planRuns(cifar100Resnext, { seeds: 1 })).networks.every(({ runs }) => runs[0].requestId.length <= 128));
  const all = [
    first,
    ...others,
    ...await ids({ epochs: 2 }),
    ...await ids({ batchSize: 64 }),
    ...await ids({ limitTrain: 5 }),
    ...await ids({ limitTest: 5 }),
    ...await ids({ dataset: "cifar10-sample" }),
  ];
  assertEquals(new Set(all).size, 4 * 6);
});

Deno.test("planRuns() refuses a row that the table does not have", async () => {
  const error = await assertRejects(() => planRuns(imagenet, { rows: ["50", "152"], seeds: 1 }), UsageError);
  assertEquals(error.message, 'Option --rows must name rows of imagenet, which are 50, 101, not "152"');
});

Deno.test("deviations() names all that differs from the paper, and nothing else", async () => {
  const told = async (options: Partial<Parameters<typeof planRuns>[1]>, testImages = 10_000) => {
    const plan = await planRuns(cifar10Depth, { seeds: 1, ...options });
    return deviations(plan, create(DatasetSchema, { name: plan.dataset, trainImages: 50_000, testImages }));
  };
  assertEquals(await told({}), []);
  assertEquals(await told({ epochs: 160, batchSize: 128, limitTrain: 50_000, limitTest: 10_000 }), []);
  assertEquals(await told({ epochs: 12, batchSize: 64, limitTrain: 5000, limitTest: 100 }, 5000), [
    "The server's data set has 50,000 images to train and 5,000 to test; the paper's has 50,000 images to train and " +
    "10,000 to test.",
    "Trained for 12 epochs, not 160: the rate is divided by 10 at epochs 6 and 9, in proportion to the recipe's epochs " +
    "80 and 120.",
    "Batches are of 64 images, not 128, at the same learning rate.",
    "Trained on the first 5,000 of 50,000 images.",
    "Tested on the first 100 of 5,000 images.",
  ]);
  assertMatch((await told({ epochs: 1 }))[0], /^Trained for 1 epoch, not 160: the rate is never divided by 10, /);
  assertStringIncludes((await told({ dataset: "mnist" }))[0], "The data set is mnist, not cifar10");
});
