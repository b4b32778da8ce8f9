/** A recipe within what the user can afford. */
import type { Recipe } from "./tables.ts";

/** What the user says in place of the recipe or the whole data set. */
export interface Budget {
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly limitTrain?: number;
  readonly limitTest?: number;
}

/**
 * The recipe in other epochs: its milestones keep their share of the training. Those that would fall on the first epoch
 * or on one that has a milestone already are left out.
 */
export function scaleRecipe(recipe: Recipe, { epochs = recipe.epochs, batchSize = recipe.batchSize }: Budget): Recipe {
  const scaled = recipe.milestones.map((milestone) => Math.round(milestone * epochs / recipe.epochs));
  const milestones = [...new Set(scaled)].filter((milestone) => milestone > 0 && milestone < epochs);
  return { ...recipe, epochs, batchSize, milestones };
}
