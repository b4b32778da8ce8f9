/** `runs` lists, shows, draws, steers and deletes runs. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Run, RunSchema, type RunState, RunStateSchema, type TrainingConfig } from "../../gen/mod.ts";
import { defineClientCommand, defineGroup } from "../command.ts";
import type { Connection } from "../connection.ts";
import { enumChoice } from "../enum_choice.ts";
import { CommandError } from "../errors.ts";
import { formatBytes, formatFraction, formatLoss, formatRate } from "../format.ts";
import { optional } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { stateName } from "../run_view.ts";
import { formatFields, formatTable } from "../table.ts";
import { listOf } from "../values.ts";
import { plotCommand } from "./plot_runs.ts";
import { steeringCommands } from "./steer_runs.ts";

const oneRun = { placeholder: "RUN", minimum: 1, maximum: 1 };

const listCommand = defineClientCommand({
  name: "list",
  summary: "Lists runs, newest first",
  options: { state: optional(listOf(enumChoice(RunStateSchema)), "Only runs in one of these states (default: all)") },
  async run({ values }, { connection, output }) {
    const rows: string[][] = [];
    for await (const run of allRuns(connection, values.state)) {
      output.object(messageToJson(RunSchema, run));
      rows.push(runRow(run));
    }
    if (rows.length === 0) output.lines(values.state === undefined ? "No runs yet" : "No run is in that state");
    else output.lines(...formatTable(columns, rows));
    return 0;
  },
});

const getCommand = defineClientCommand({
  name: "get",
  summary: `Shows one run; RUN is ${runNameHelp}`,
  options: {},
  positionals: oneRun,
  async run({ positionals }, { connection, output }) {
    const name = await resolveRun(connection, positionals[0]);
    const run = present((await connection.training.getRun({ name }, connection.quick)).run, name);
    output.object(messageToJson(RunSchema, run));
    output.lines(...formatFields(runFields(run)));
    return 0;
  },
});

export const runsCommand = defineGroup("runs", "Lists, shows, draws, steers and deletes runs", [
  listCommand,
  getCommand,
  plotCommand,
  ...steeringCommands,
]);

async function* allRuns(connection: Connection, states: RunState[] = []): AsyncGenerator<Run> {
  let pageToken = "";
  do {
    const page = await connection.training.listRuns({ pageSize: 200, pageToken, states }, connection.quick);
    yield* page.runs;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

function present(run: Run | undefined, name: string): Run {
  if (run === undefined) throw new CommandError(`The server's answer has no run for ${name}`);
  return run;
}

const columns = [
  { title: "RUN" },
  { title: "STATE" },
  { title: "MODEL" },
  { title: "DATASET" },
  { title: "STEP", align: "right" },
  { title: "LOSS", align: "right" },
  { title: "TOP-1", align: "right" },
  { title: "CREATED" },
] as const;

function runRow(run: Run): string[] {
  const { progress, evaluation } = run;
  return [
    run.name,
    stateName(run.state),
    run.config?.model?.name ?? "",
    run.config?.dataset ?? "",
    progress === undefined ? "" : `${progress.step}/${progress.totalSteps}`,
    evaluation === undefined ? "" : formatLoss(evaluation.loss),
    evaluation === undefined ? "" : formatFraction(evaluation.top1),
    formatTime(run.createTime),
  ];
}

function runFields(run: Run): [string, string][] {
  const { progress, evaluation, config } = run;
  const fields: [string, string][] = [["run", run.name], ["state", stateName(run.state)]];
  if (run.statusMessage !== "") fields.push(["message", run.statusMessage]);
  if (config !== undefined) fields.push(...configFields(config));
  if (progress !== undefined) {
    fields.push(["step", `${progress.step} of ${progress.totalSteps}`]);
    fields.push(["epoch", `${progress.epoch + 1} of ${progress.totalEpochs}`]);
    fields.push(["speed", `${formatRate(progress.imagesPerSecond)} images/s`]);
  }
  if (evaluation !== undefined) {
    fields.push(["test loss", formatLoss(evaluation.loss)]);
    fields.push(["test top-1", formatFraction(evaluation.top1)], ["test top-5", formatFraction(evaluation.top5)]);
  }
  fields.push(["created", formatTime(run.createTime)]);
  if (run.startTime !== undefined) fields.push(["started", formatTime(run.startTime)]);
  if (run.endTime !== undefined) fields.push(["ended", formatTime(run.endTime)]);
  if (run.attempt > 1) fields.push(["attempt", String(run.attempt)]);
  for (const { path, bytes, best } of run.checkpoints) {
    fields.push(["checkpoint", `${path} (${formatBytes(bytes)}${best ? ", the best" : ""})`]);
  }
  return fields;
}

function configFields(config: TrainingConfig): [string, string][] {
  return [
    ...(config.recipe === "" ? [] : [["recipe", config.recipe] as [string, string]]),
    ["model", config.model?.name ?? ""],
    ["dataset", config.dataset],
    ["epochs", String(config.epochs ?? "")],
    ["batch size", String(config.batchSize ?? "")],
    ["learning rate", String(config.optimizer?.learningRate ?? "")],
    ["seed", String(config.seed ?? "")],
  ];
}

/** To the second, in UTC. */
function formatTime(time: Run["createTime"]): string {
  return time === undefined ? "" : timestampDate(time).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
}
