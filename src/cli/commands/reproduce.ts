/** `reproduce` trains the networks of one of the paper's tables and reports what came of it beside the paper's numbers. */
import { type ClientSession, defineClientCommand } from "../command.ts";
import { CommandError, UsageError } from "../errors.ts";
import { formatCount, formatDuration } from "../format.ts";
import { defaulting, flag, optional, type OptionValues } from "../options.ts";
import { estimate } from "../reproduce/estimate.ts";
import { askFacts, type Facts } from "../reproduce/facts.ts";
import { hasSucceeded, type RunOutcome } from "../reproduce/outcomes.ts";
import { type Plan, plannedRuns, planRuns } from "../reproduce/plan.ts";
import { buildReport, type Report } from "../reproduce/report.ts";
import { networkTable, planJson, planTable, reportSummaryJson } from "../reproduce/show.ts";
import { type Table, tables } from "../reproduce/tables.ts";
import { trainPlan } from "../reproduce/train_plan.ts";
import { makeReportFolder, reportFiles, writeReport } from "../reproduce/write_report.ts";
import { integer, listOf, text } from "../values.ts";

const options = {
  rows: optional(listOf(text("ROW")), "Only these rows of the table (default: all)"),
  seeds: defaulting(integer("N", { minimum: 1, maximum: 100 }), "3", "How often each network is trained"),
  epochs: optional(integer("N", { minimum: 1 }), "In place of the recipe's; its milestones keep their share"),
  "limit-train": optional(integer("N", { minimum: 1 }), "Train on the first N images only"),
  "limit-test": optional(integer("N", { minimum: 1 }), "Evaluate on the first N images only"),
  "batch-size": optional(integer("N", { minimum: 1 }), "In place of the recipe's"),
  dataset: optional(text("NAME"), "In place of the table's"),
  output: optional(text("FOLDER"), "Where report.md, report.json and curves.svg go (default: reproduce-TABLE)"),
  "dry-run": flag("Show the runs, and how long they may take, and start none"),
};

type Values = OptionValues<typeof options>;

const names = tables.map(({ name }) => name).join(", ");

export const reproduceCommand = defineClientCommand({
  name: "reproduce",
  summary:
    `Trains the networks of one of the paper's tables (${names}) and reports the errors beside the paper's; run again, ` +
    "it goes on where it was",
  options,
  positionals: { placeholder: "TABLE", minimum: 1, maximum: 1 },
  async run({ values, positionals: [name] }, session) {
    const table = tables.find((candidate) => candidate.name === name);
    if (table === undefined) throw new UsageError(`Argument TABLE must be one of ${names}, not "${name}"`);
    const plan = await planRuns(table, {
      rows: values.rows,
      seeds: values.seeds,
      dataset: values.dataset,
      epochs: values.epochs,
      batchSize: values["batch-size"],
      limitTrain: values["limit-train"],
      limitTest: values["limit-test"],
    });
    const facts = await askFacts(session.connection, plan);
    const time = await timeText(session, plan, facts);
    if (values["dry-run"]) {
      showPlan(session, plan, time);
      return 0;
    }
    session.output.progress.note(`${formatCount(plannedRuns(plan).length)} runs; ${time}`);
    return await reproduce(session, { plan, facts, folder: values.output ?? `reproduce-${table.name}`, values });
  },
});

async function timeText({ connection }: ClientSession, plan: Plan, facts: Facts): Promise<string> {
  const estimated = await estimate(connection, plan, facts);
  return estimated === undefined
    ? "the server has no run yet to judge by how long they take"
    : `all of them take about ${formatDuration(estimated.seconds)}, judged by ${estimated.basis} and the like`;
}

function showPlan({ output }: ClientSession, plan: Plan, time: string): void {
  for (const run of planJson(plan)) output.object(run);
  output.lines(...planTable(plan), "", `${formatCount(plannedRuns(plan).length)} runs; ${time}`);
}

interface Reproduction {
  readonly plan: Plan;
  readonly facts: Facts;
  /** Of the report. */
  readonly folder: string;
  readonly values: Values;
}

/** Trains the plan, keeping the report up to date. Resolves to the exit code. */
async function reproduce(session: ClientSession, { plan, facts, folder, values }: Reproduction): Promise<number> {
  const { context, output } = session;
  await makeReportFolder(folder);
  const outcomes = new Map<string, RunOutcome>();
  const report = (): Report =>
    buildReport(plan, facts, outcomes, {
      command: commandLine(plan.table, values),
      clientVersion: context.version,
      updated: new Date(),
    });
  const interruption = new AbortController();
  const removeHandler = context.onInterrupt(() => interruption.abort());
  let written = 0;
  const write = async () => {
    if (written === outcomes.size) return;
    written = outcomes.size;
    await writeReport(folder, report(), outcomes.values());
  };
  try {
    await trainPlan(session, plannedRuns(plan), {
      signal: interruption.signal,
      async onOutcome(outcome, isNew) {
        outcomes.set(outcome.planned.requestId, outcome);
        // Those that were there already come in quick succession.
        if (isNew) await write();
      },
    });
  } finally {
    removeHandler();
    await write();
  }
  const final = report();
  output.object(reportSummaryJson(final, folder));
  output.lines(...networkTable(final), "", `Wrote ${Object.values(reportFiles).join(", ")} to ${folder}`);
  const failed = [...outcomes.values()].filter((outcome) => !hasSucceeded(outcome));
  if (failed.length === 0) return 0;
  throw new CommandError(
    `${failed.length} of ${outcomes.size} runs did not succeed, as ${folder}/${reportFiles.markdown} tells: ` +
      'to train one anew, "./multistep runs delete RUN" and give this command again',
  );
}

/** As a user would type it, but for how the server is reached. */
function commandLine(table: Table, values: Values): string {
  const given: readonly (readonly [keyof Values, string | undefined])[] = [
    ["rows", values.rows?.join(",")],
    ["seeds", String(values.seeds)],
    ["epochs", values.epochs?.toString()],
    ["limit-train", values["limit-train"]?.toString()],
    ["limit-test", values["limit-test"]?.toString()],
    ["batch-size", values["batch-size"]?.toString()],
    ["dataset", values.dataset],
  ];
  const words = given.flatMap(([option, value]) => value === undefined ? [] : [`--${option} ${value}`]);
  return ["./multistep reproduce", table.name, ...words].join(" ");
}
