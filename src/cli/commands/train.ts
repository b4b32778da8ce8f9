/** `train` starts a run and shows it. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DataPathSchema, PrecisionSchema, type TrainingConfigSchema } from "../../gen/mod.ts";
import { augmentationConfig, augmentationOptions } from "../augmentation_options.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { enumChoice } from "../enum_choice.ts";
import { CommandError, UsageError } from "../errors.ts";
import { startRun } from "../follow_run.ts";
import { modelOptions, modelSpec } from "../model_options.ts";
import { optimizationOptions, optimizerConfig, scheduleConfig } from "../optimization_options.ts";
import { stochasticConfig, stochasticOptions } from "../stochastic_options.ts";
import { flag, optional, type OptionValues } from "../options.ts";
import { runSummaryJson, runSummaryLine } from "../run_view.ts";
import { showRun } from "../show_run.ts";
import { bigInteger, decimal, integer, text } from "../values.ts";
import { streamingAugmentation, streamingOptions } from "../streaming_options.ts";

const options = {
  recipe: optional(
    text("NAME"),
    'Defaults for this run, in place of those below: "./multistep recipes" names them; with --epochs, milestones and ' +
      "warm-up that are not given are stretched in proportion",
  ),
  model: optional(text("NAME"), 'The network: "./multistep models list" names the families (default: the recipe\'s)'),
  dataset: optional(text("NAME"), 'The data set: "./multistep datasets list" names them (default: the recipe\'s)'),
  epochs: optional(integer("N", { minimum: 1 }), "Passes over the training images (default: 1)"),
  "batch-size": optional(integer("N", { minimum: 1 }), "Images a step (default: 64)"),
  ...optimizationOptions,
  seed: optional(bigInteger("N"), "Of weights, order and augmentation (default: 0)"),
  "limit-train": optional(integer("N", { minimum: 1 }), "Train on the first N images only"),
  "limit-test": optional(integer("N", { minimum: 1 }), "Evaluate on the first N images only"),
  "label-smoothing": optional(decimal("X", { below: 1 }), "Of the loss (default: 0)"),
  ...augmentationOptions,
  ...streamingOptions,
  ...modelOptions,
  ...stochasticOptions,
  precision: optional(enumChoice(PrecisionSchema), "Of the arithmetic (default: f32)"),
  "data-path": optional(
    enumChoice(DataPathSchema),
    "Where images lie while it trains: on the GPU or sent batch by batch (default: auto, on the GPU where they fit)",
  ),
  "evaluate-every": optional(integer("N"), "Evaluate after every N epochs; 0: only after the last (default: 1)"),
  "checkpoint-every-steps": optional(
    integer("N"),
    "Write a checkpoint every N steps, besides after every epoch; 0: none (default: 1000)",
  ),
  "keep-checkpoints": optional(
    integer("N", { minimum: 1 }),
    "How many of the newest stay on the server, besides the best (default: 2)",
  ),
  "max-retries": optional(integer("N"), "How often to go on from the last checkpoint after a GPU fault (default: 2)"),
  from: optional(text("FILE"), 'Start from a checkpoint\'s weights, as "runs get" or "models import" shows it'),
  detach: flag("Print the run's name and leave it to itself"),
};

export const trainCommand = defineClientCommand({
  name: "train",
  summary: "Trains a network on a data set; the run goes on when this command is interrupted",
  options,
  run({ values }, session) {
    for (const name of ["model", "dataset"] as const) {
      if (values[name] ?? values.recipe) continue;
      throw new UsageError(`Option --${name} NAME is missing, or a --recipe NAME that has one`);
    }
    const config = trainingConfig(values);
    if (values.detach) return startDetached(config, session);
    return showRun(session, (follow) => startRun(session.connection, config, follow), {
      totalEpochs: values.epochs ?? (values.recipe === undefined ? 1 : undefined),
    });
  },
});

function trainingConfig(values: OptionValues<typeof options>): MessageInitShape<typeof TrainingConfigSchema> {
  return {
    recipe: values.recipe,
    model: modelSpec(values.model ?? "", values),
    dataset: values.dataset,
    epochs: values.epochs,
    batchSize: values["batch-size"],
    seed: values.seed,
    limitTrain: values["limit-train"],
    limitTest: values["limit-test"],
    optimizer: optimizerConfig(values),
    schedule: scheduleConfig(values),
    labelSmoothing: values["label-smoothing"],
    augmentation: { ...augmentationConfig(values), ...streamingAugmentation(values) },
    precision: values.precision,
    dataPath: values["data-path"],
    evaluateEveryEpochs: values["evaluate-every"],
    checkpointEverySteps: values["checkpoint-every-steps"],
    checkpointsKept: values["keep-checkpoints"],
    maxRetries: values["max-retries"],
    stochastic: stochasticConfig(values),
    initialCheckpoint: values.from,
  };
}

/** Waits only until the server has the run. */
async function startDetached(
  config: MessageInitShape<typeof TrainingConfigSchema>,
  { connection, output }: ClientSession,
): Promise<number> {
  for await (const event of startRun(connection, config)) {
    const { run } = await connection.training.getRun({ name: event.run }, connection.quick);
    if (run === undefined) break;
    output.object(runSummaryJson(run));
    output.lines(runSummaryLine(run), `To watch it: ./multistep watch ${run.name}`);
    return 0;
  }
  throw new CommandError("The server ended the stream before the run began");
}
