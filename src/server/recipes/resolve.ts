/** What a configuration means that names a recipe: the recipe's fields, overridden by its own. */
import { create } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { ScheduleKind, type TrainingConfig, TrainingConfigSchema } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { recipes } from "./table.ts";

/**
 * The configuration with its recipe's fields where it sets none; as it is where it names no recipe. A model that has a
 * name replaces the recipe's with all its choices; another kind of schedule, what the recipe's kind alone has. Where the
 * epochs are others, milestones and warm-up that are not set go along in proportion.
 * @throws {InvalidFieldError} for an unknown recipe.
 */
export function resolveRecipe(request: TrainingConfig): TrainingConfig {
  if (request.recipe === "") return request;
  const recipe = recipes.find(({ name }) => name === request.recipe);
  if (!recipe) {
    throw new InvalidFieldError(
      "config.recipe",
      request.recipe,
      `one of ${recipes.map(({ name }) => name).join(", ")}`,
    );
  }
  const config = create(TrainingConfigSchema, recipe.config);
  stretchSchedule(config, request.epochs);
  const [kind, asked] = [config.schedule?.kind, request.schedule?.kind].map((kind) => kind || ScheduleKind.STEPS);
  if (config.schedule && request.schedule?.kind && kind !== asked) {
    const { warmupEpochs, warmupStartFactor } = config.schedule;
    config.schedule = create(TrainingConfigSchema, { schedule: { warmupEpochs, warmupStartFactor } }).schedule;
  }
  if (request.model?.name) config.model = undefined;
  overlay(reflect(TrainingConfigSchema, config), reflect(TrainingConfigSchema, request));
  return config;
}

/** Milestones stay after the start, and those that fall together become one. */
function stretchSchedule(config: TrainingConfig, epochs: number | undefined): void {
  const { schedule, epochs: own } = config;
  if (!schedule || epochs === undefined || own === undefined) return;
  const stretched = schedule.milestones.map((milestone) => Math.max(1, Math.round(milestone * epochs / own)));
  schedule.milestones = [...new Set(stretched)];
  if (schedule.warmupEpochs !== undefined) schedule.warmupEpochs *= epochs / own;
}

/** Sets in `target` every field that is set in `source`; messages field by field, lists as a whole. */
function overlay(target: ReflectMessage, source: ReflectMessage): void {
  for (const field of source.fields) {
    if (!source.isSet(field)) continue;
    if (field.fieldKind === "message" && target.isSet(field)) overlay(target.get(field), source.get(field));
    else target.set(field, source.get(field));
  }
}
