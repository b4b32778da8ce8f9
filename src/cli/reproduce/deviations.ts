/** How the runs of a plan differ from the paper's, in sentences. */
import type { Dataset } from "../../gen/mod.ts";
import { formatCount } from "../format.ts";
import { scaleRecipe } from "./budget.ts";
import type { Plan } from "./plan.ts";

/** @param dataset that the plan trains on */
export function deviations({ table, dataset: name, budget }: Plan, dataset: Dataset): string[] {
  const { recipe } = table;
  const scaled = scaleRecipe(recipe, budget);
  const sentences: string[] = [];
  if (name !== table.dataset.name) {
    sentences.push(
      `The data set is ${name}, not ${table.dataset.name}, with its own augmentation: the errors cannot be compared with ` +
        "the paper's.",
    );
  } else {
    sentences.push(...datasetDeviations(table.dataset, dataset));
  }
  if (scaled.epochs !== recipe.epochs) {
    sentences.push(
      `Trained for ${epochsText(scaled.epochs)}, not ${recipe.epochs}: the rate is ${
        milestonesText(scaled.milestones)
      }, in proportion to the recipe's epochs ${recipe.milestones.join(" and ")}.`,
    );
  }
  if (scaled.batchSize !== recipe.batchSize) {
    sentences.push(`Batches are of ${scaled.batchSize} images, not ${recipe.batchSize}, at the same learning rate.`);
  }
  const { limitTrain, limitTest } = budget;
  if (limitTrain !== undefined && limitTrain < dataset.trainImages) {
    sentences.push(`Trained on the first ${formatCount(limitTrain)} of ${formatCount(dataset.trainImages)} images.`);
  }
  if (limitTest !== undefined && limitTest < dataset.testImages) {
    sentences.push(`Tested on the first ${formatCount(limitTest)} of ${formatCount(dataset.testImages)} images.`);
  }
  return sentences;
}

type Counts = Pick<Dataset, "trainImages" | "testImages">;

function datasetDeviations(expected: Counts, { trainImages, testImages }: Counts): string[] {
  if (trainImages === expected.trainImages && testImages === expected.testImages) return [];
  const text = (counts: Counts) =>
    `${formatCount(counts.trainImages)} images to train and ${formatCount(counts.testImages)} to test`;
  return [`The server's data set has ${text({ trainImages, testImages })}; the paper's has ${text(expected)}.`];
}

function milestonesText(milestones: readonly number[]): string {
  if (milestones.length === 0) return "never divided by 10";
  return `divided by 10 at epoch${milestones.length === 1 ? "" : "s"} ${milestones.join(" and ")}`;
}

function epochsText(epochs: number): string {
  return epochs === 1 ? "1 epoch" : `${epochs} epochs`;
}
