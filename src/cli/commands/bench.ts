/** `bench` measures this machine. */
import { type Command, defineCommand, defineGroup, type Session } from "../command.ts";
import { cannotWrite, CommandError, InterruptedError } from "../errors.ts";
import { formatRate } from "../format.ts";
import { type BenchKind, benchKinds, type BenchMeasurement } from "../local.ts";
import { defaulting, optional, type OptionValues } from "../options.ts";
import type { JsonObject } from "../proto_json.ts";
import { tuneOption } from "../tune_option.ts";
import { choice, imageSize, integer, text } from "../values.ts";

const summaries: Readonly<Record<BenchKind, string>> = {
  kernels: "Measures the kernels of a network one by one",
  train: "Measures training steps",
  infer: "Measures inference",
  rpc: "Measures calls to a server",
  data: "Measures how fast images come, and how long training waits for them",
};

const measured = {
  model: defaulting(text("NAME"), "lm-resnet-20", "The network"),
  "batch-size": defaulting(integer("N", { minimum: 1 }), "64", "Images a step"),
  image: defaulting(imageSize(), "32x32x3", "The network's input"),
  classes: defaulting(integer("N", { minimum: 1 }), "10", "The classes it tells apart"),
  runs: defaulting(integer("N", { minimum: 1 }), "5", "How often each case is measured"),
  tune: tuneOption,
  filter: optional(text("TEXT"), "Only the cases whose name contains this"),
};

const measuredOfTraining = {
  precision: optional(choice(["f32", "mixed"]), "Of the arithmetic (default: f32)"),
  trace: optional(text("FILE"), "Writes one step's timeline in the Trace Event format, for ui.perfetto.dev"),
};

export const benchCommand = defineGroup(
  "bench",
  "Measures this machine; each measurement is one line",
  benchKinds.map(benchKindCommand),
);

function benchKindCommand(kind: BenchKind): Command {
  const about = { name: kind, summary: summaries[kind] };
  if (kind !== "train") {
    return defineCommand({ ...about, options: measured, run: ({ values }, session) => measure(kind, values, session) });
  }
  return defineCommand({
    ...about,
    options: { ...measured, ...measuredOfTraining },
    run: ({ values }, session) => measure(kind, values, session),
  });
}

async function measure(
  kind: BenchKind,
  values: OptionValues<typeof measured> & Partial<OptionValues<typeof measuredOfTraining>>,
  { context, output }: Session,
): Promise<number> {
  if (values.trace !== undefined) await assertWritable(values.trace);
  const interruption = new AbortController();
  const removeHandler = context.onInterrupt(() => interruption.abort());
  let measurements = 0;
  try {
    const measuring = context.local.bench(kind, {
      model: values.model,
      batchSize: values["batch-size"],
      image: values.image,
      classes: values.classes,
      runs: values.runs,
      tune: values.tune,
      filter: values.filter,
      precision: values.precision,
      trace: values.trace,
      note: (line) => output.progress.note(line),
      signal: interruption.signal,
    });
    for await (const measurement of measuring) {
      measurements++;
      output.object(measurementJson(measurement));
      output.lines(measurementLine(measurement));
    }
  } finally {
    removeHandler();
  }
  if (interruption.signal.aborted) throw new InterruptedError();
  if (measurements === 0) throw new CommandError(`No case of bench ${kind} has "${values.filter ?? ""}" in its name`);
  return 0;
}

/** Before minutes of measuring. @throws {CommandError} */
async function assertWritable(path: string): Promise<void> {
  try {
    (await Deno.open(path, { write: true, create: true })).close();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

function measurementJson({ benchmark, median, unit, runs, adapter, ...rest }: BenchMeasurement): JsonObject {
  const { minimum, maximum, details } = rest;
  return { benchmark, case: rest.case, median, unit, runs, adapter, minimum, maximum, ...details };
}

function measurementLine({ benchmark, median, unit, runs, adapter, ...rest }: BenchMeasurement): string {
  const { minimum, maximum, details = {} } = rest;
  const range = minimum === undefined || maximum === undefined
    ? ""
    : `, ${formatRate(minimum)} to ${formatRate(maximum)}`;
  const more = Object.entries(details).map(([name, value]) => `; ${name} ${formatDetail(value)}`).join("");
  return `${benchmark}  ${rest.case}  ${formatRate(median)} ${unit}  (median of ${runs}${range}${more}; ${adapter})`;
}

function formatDetail(value: number | string): string {
  return typeof value === "number" ? String(Number(value.toPrecision(3))) : value;
}
