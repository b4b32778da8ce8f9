/** `demo` does the whole job once: a server, a training run on real digits, an evaluation, predictions. */
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { PredictionSchema, type Run, RunState, type TrainingConfigSchema } from "../../gen/mod.ts";
import { type ClientSession, defineCommand, type Session } from "../command.ts";
import { withConnection } from "../connection.ts";
import { CommandError, InterruptedError } from "../errors.ts";
import { startRun } from "../follow_run.ts";
import { formatCount, formatDuration, formatFraction } from "../format.ts";
import type { ExampleImage, LocalServer } from "../local.ts";
import { defaulting, optional } from "../options.ts";
import type { Output } from "../output.ts";
import { messageToJson } from "../proto_json.ts";
import { runSummaryJson, RunView, stateName } from "../run_view.ts";
import { formatTable } from "../table.ts";
import { integer, text } from "../values.ts";
import { evaluate, evaluationJson } from "./evaluate.ts";
import { inferFiles } from "./infer.ts";

const dataset = "mnist";

export const demoCommand = defineCommand({
  name: "demo",
  summary:
    "Starts a server, trains on real digits, evaluates, names the digits of PNG or JPEG images, and tells it all",
  options: {
    "data-dir": optional(text("DIR"), "Where the run is kept (default: multistep in the user's data folder)"),
    model: defaulting(text("NAME"), "lm-resnet-20", "The network"),
    epochs: defaulting(integer("N", { minimum: 1 }), "3", "Passes over the training images"),
  },
  positionals: { placeholder: "IMAGE", minimum: 0, maximum: Infinity },
  async run({ values, positionals }, session) {
    const { context, output } = session;
    const began = performance.now();
    const dataDir = values["data-dir"] ?? context.dataDir;
    const interrupted = Promise.withResolvers<never>();
    const removeHandler = context.onInterrupt(() => interrupted.reject(new InterruptedError()));
    let server: LocalServer | undefined;
    try {
      output.progress.note(`Starting a server with data in ${dataDir}`);
      const starting = context.local.serve({
        listen: "127.0.0.1:0",
        dataDir,
        importFolders: [],
        tune: "auto",
        log: (line) => showError(line, output),
      });
      server = await Promise.race([starting, interrupted.promise]);
      const job = { dataDir, files: positionals, began };
      const config = demoConfig(values.model, values.epochs);
      const work = withConnection(
        { address: server.address },
        (connection) => runDemo({ ...session, connection }, config, job),
      );
      return await Promise.race([work, interrupted.promise]);
    } finally {
      removeHandler();
      await server?.close();
    }
  },
});

/** The last epoch of several runs at a tenth of the learning rate: that is worth some tenths of a percent. */
function demoConfig(model: string, epochs: number) {
  return {
    model: { name: model },
    dataset,
    epochs,
    batchSize: 64,
    optimizer: { learningRate: 0.1 },
    schedule: { milestones: epochs > 1 ? [epochs - 1] : [], factor: 0.1 },
  } satisfies MessageInitShape<typeof TrainingConfigSchema>;
}

interface DemoJob {
  readonly dataDir: string;
  /** The user's images. */
  readonly files: readonly string[];
  /** When the demo began, on the clock of `performance.now()`. */
  readonly began: number;
}

async function runDemo(
  session: ClientSession,
  config: ReturnType<typeof demoConfig>,
  { dataDir, files, began }: DemoJob,
): Promise<number> {
  const { output, context } = session;
  output.progress.note(`Training ${config.model.name} on ${dataset}, ${config.epochs} epochs`);
  const run = await train(session, config);
  const result = await evaluate(session, { source: { case: "run", value: run.name } });
  output.object({ kind: "evaluation_result", run: run.name, ...evaluationJson(result) });
  const folder = join(dataDir, "examples");
  await Deno.mkdir(folder, { recursive: true });
  const examples = await context.local.exampleImages(folder);
  const images = [...examples, ...files.map((path) => ({ path, label: undefined }))];
  const { rows, failures } = await predict(session, run.name, images);
  const seconds = (performance.now() - began) / 1000;
  const top1 = result.metrics?.top1 ?? 0;
  output.lines(
    `Trained ${config.model.name} on ${dataset} as ${run.name}; the whole demo took ${formatDuration(seconds)}`,
    `Test accuracy (top-1): ${formatFraction(top1)} of ${formatCount(result.metrics?.images ?? 0)} images`,
    "",
    ...formatTable([{ title: "IMAGE" }, { title: "IS" }, { title: "TAKEN FOR" }, { title: "PROBABILITY" }], rows),
    "",
    "The run is kept. To start a server on it, and to list it from another terminal:",
    `  ./multistep serve --data-dir ${shellWord(dataDir)}`,
    "  ./multistep runs list",
  );
  output.object({ kind: "demo", top1, seconds, run: run.name, model: config.model.name, dataset, data_dir: dataDir });
  return failures === 0 ? 0 : 1;
}

/** @throws {CommandError} where the run does not succeed */
async function train(
  { connection, output }: ClientSession,
  config: ReturnType<typeof demoConfig>,
): Promise<Run> {
  const view = new RunView(output, config.epochs);
  let name = "";
  for await (const event of startRun(connection, config)) {
    name = event.run;
    view.show(event);
  }
  output.progress.stop();
  const { run } = await connection.training.getRun({ name }, connection.quick);
  if (run === undefined) throw new CommandError(`The server's answer has no run for ${name}`);
  output.object(runSummaryJson(run));
  if (run.state !== RunState.SUCCEEDED) {
    throw new CommandError(`${run.name} is ${stateName(run.state)}: ${run.statusMessage}`);
  }
  return run;
}

type DemoImage = Pick<ExampleImage, "path"> & { readonly label: string | undefined };

/** Classifies the images. Rows are of the table: image, label, class, probability. */
async function predict(
  { connection, output }: Session & Pick<ClientSession, "connection">,
  run: string,
  images: readonly DemoImage[],
): Promise<{ rows: string[][]; failures: number }> {
  const rows: string[][] = [];
  let failures = 0;
  let index = 0;
  const source = { case: "run", value: run } as const;
  for await (
    const { file, result } of inferFiles({ connection }, images.map(({ path }) => path), { source, topK: 5 })
  ) {
    const { label } = images[index++];
    if ("error" in result) {
      failures++;
      output.object({ kind: "prediction", file, label, error: result.error });
      output.error(`${file}: ${result.error}`);
      continue;
    }
    output.object({ kind: "prediction", file, label, ...messageToJson(PredictionSchema, result) });
    const [best] = result.top;
    rows.push([file, label ?? "", best?.className ?? "", best === undefined ? "" : formatFraction(best.probability)]);
  }
  return { rows, failures };
}

/** Of the server's log, only what went wrong: the rest is what the demo shows by itself. */
function showError(line: string, output: Output): void {
  const { level } = JSON.parse(line) as { level: unknown };
  if (level === "error") output.progress.note(line);
}

/** A path as a shell takes it. */
function shellWord(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
