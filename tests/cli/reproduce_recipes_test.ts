/** The command line plans without the server's recipes, so that its runs keep their ids; here both are held to be the same. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assertEquals } from "@std/assert";
import { planRuns } from "../../src/cli/reproduce/plan.ts";
import { tables } from "../../src/cli/reproduce/tables.ts";
import { AugmentationConfigSchema, TrainingConfigSchema } from "../../src/gen/mod.ts";
import { checkTrainingConfig } from "../../src/server/validation/training_config.ts";

const both = (recipe: string) => ({ residual: recipe, multistep: recipe });
const cifar10 = { residual: "resnet-cifar10", multistep: "lm-cifar10" };
const cifar100 = { residual: "resnet-cifar100", multistep: "lm-cifar100" };

/** The recipes of each row's two networks. */
const recipes: Readonly<Record<string, Readonly<Record<string, { residual: string; multistep: string }>>>> = {
  "cifar10-depth": { "20": cifar10, "32": cifar10, "44": cifar10, "56": cifar10, "110": cifar10 },
  "cifar100-resnext": {
    "110": cifar100,
    "164": cifar100,
    "8x64d": both("lm-resnext-cifar100"),
    "16x64d": both("lm-resnext-cifar100"),
  },
  // Both networks of a row are trained alike; the recipe of Huang et al. for residual networks scales otherwise.
  "stochastic-depth": {
    "56": both("lm-stochastic-56-cifar10"),
    "110": both("lm-stochastic-110-cifar10"),
    "1202": both("lm-stochastic-110-cifar10"),
  },
  "imagenet": { "50": both("imagenet"), "101": both("imagenet") },
};

function check(config: MessageInitShape<typeof TrainingConfigSchema>, hasAugmentation: boolean) {
  const message = create(TrainingConfigSchema, config);
  // Which the table leaves to the data set.
  if (!hasAugmentation) {
    message.augmentation = create(AugmentationConfigSchema, { cropPadding: 0, horizontalFlip: false });
  }
  return { ...checkTrainingConfig(message), recipe: undefined };
}

for (const table of tables) {
  Deno.test(`reproduce ${table.name} trains as the server's recipes do`, async () => {
    const { networks } = await planRuns(table, { seeds: 1 });
    for (const { row, side, runs: [{ model, config }] } of networks) {
      const recipe = recipes[table.name][row.name][side];
      const [planned, named] = [config, { recipe, model: { name: model }, dataset: table.dataset.name, seed: 1n }]
        .map((each) => check(each, table.augmentation !== undefined));
      assertEquals(planned, named, `${model} is not trained by ${recipe}`);
    }
  });
}
