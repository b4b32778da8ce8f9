/** `recipes` lists training runs by name, or shows what one sets. */
import { type Recipe, RecipeSchema } from "../../gen/mod.ts";
import { defineClientCommand } from "../command.ts";
import { CommandError } from "../errors.ts";
import { messageToJson } from "../proto_json.ts";
import { formatTable } from "../table.ts";

export const recipesCommand = defineClientCommand({
  name: "recipes",
  summary: "Lists the recipes that train --recipe takes, or shows what one sets, as JSON",
  options: {},
  positionals: { placeholder: "NAME", minimum: 0, maximum: 1 },
  async run({ positionals: [name] }, { connection, output }) {
    const { recipes } = await connection.catalog.listRecipes({}, connection.quick);
    if (name === undefined) {
      for (const recipe of recipes) output.object(messageToJson(RecipeSchema, recipe));
      output.lines(...recipeTable(recipes));
      return 0;
    }
    const recipe = recipes.find((candidate) => candidate.name === name);
    if (recipe === undefined) {
      throw new CommandError(`There is no recipe "${name}": there are ${recipes.map(({ name }) => name).join(", ")}`);
    }
    const json = messageToJson(RecipeSchema, recipe);
    output.object(json);
    output.lines(JSON.stringify(json, undefined, 2));
    return 0;
  },
});

function recipeTable(recipes: readonly Recipe[]): string[] {
  return formatTable(
    [
      { title: "RECIPE" },
      { title: "MODEL" },
      { title: "DATASET" },
      { title: "EPOCHS", align: "right" },
      { title: "DESCRIPTION" },
      { title: "SOURCE" },
    ],
    recipes.map(({ name, description, source, config }) => {
      return [name, config?.model?.name ?? "", config?.dataset ?? "", `${config?.epochs ?? ""}`, description, source];
    }),
  );
}
