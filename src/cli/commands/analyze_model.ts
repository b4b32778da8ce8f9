/** `models analyze` shows what networks learned for k; `models schemes` how the schemes are as numerical methods. */
import { type AnalyzeModelResponse, AnalyzeModelResponseSchema, SchemeDescriptionSchema } from "../../gen/mod.ts";
import { analysisLines, schemeTable } from "../analysis/analysis_lines.ts";
import { drawCoefficients } from "../analysis/draw_coefficients.ts";
import { defineClientCommand } from "../command.ts";
import type { Connection } from "../connection.ts";
import { CommandError } from "../errors.ts";
import { flag, optional } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { replaceTextFile } from "../replace_file.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { text } from "../values.ts";

export const analyzeCommand = defineClientCommand({
  name: "analyze",
  summary:
    "Shows the coefficients k that linear multi-step networks learned, block by block: the effective step, the " +
    `acceleration, the zero-stability; RUN is ${runNameHelp}, of which the newest checkpoint is taken`,
  options: {
    output: optional(text("FILE"), "Also draws them to this SVG file; one that is there is replaced"),
    "all-checkpoints": flag("Of runs, every checkpoint there is, the oldest first: how k changed"),
  },
  positionals: { placeholder: "RUN|CHECKPOINT", minimum: 1, maximum: Infinity },
  async run({ values, positionals }, { connection, output }) {
    const analyses: AnalyzeModelResponse[] = [];
    for (const given of positionals) {
      for (const source of await sourcesOf(connection, given, values["all-checkpoints"])) {
        analyses.push(await connection.inference.analyzeModel({ source: { source } }));
      }
    }
    if (values.output !== undefined) await draw(values.output, analyses);
    for (const analysis of analyses) output.object(messageToJson(AnalyzeModelResponseSchema, analysis));
    output.lines(...analyses.flatMap((analysis, i) => [...(i === 0 ? [] : [""]), ...analysisLines(analysis)]));
    if (values.output !== undefined) output.lines("", `Drew k to ${values.output}`);
    return 0;
  },
});

export const schemesCommand = defineClientCommand({
  name: "schemes",
  summary: "Lists the schemes that networks step by: order, stated and measured, zero-stability, source",
  options: {},
  async run(_invocation, { connection, output }) {
    const { schemes } = await connection.catalog.listSchemes({}, connection.quick);
    for (const scheme of schemes) output.object(messageToJson(SchemeDescriptionSchema, scheme));
    output.lines(...schemeTable(schemes));
    return 0;
  },
});

type Source = { readonly case: "run" | "checkpoint"; readonly value: string };

/** @throws {CommandError} for a run without a checkpoint where all are asked for */
async function sourcesOf(connection: Connection, given: string, isEvery: boolean): Promise<Source[]> {
  if (given.endsWith(".safetensors")) return [{ case: "checkpoint", value: given }];
  const name = await resolveRun(connection, given);
  if (!isEvery) return [{ case: "run", value: name }];
  const { run } = await connection.training.getRun({ name }, connection.quick);
  const checkpoints = run?.checkpoints ?? [];
  if (checkpoints.length === 0) throw new CommandError(`Cannot analyze ${name}: it has no checkpoint`);
  return checkpoints.map(({ path }) => ({ case: "checkpoint", value: path }));
}

/** @throws {CommandError} a network has nothing to draw */
async function draw(file: string, analyses: readonly AnalyzeModelResponse[]): Promise<void> {
  const networks = analyses.map(({ model, checkpoint, scheme, blocks }) => {
    if (blocks.some(({ k }) => k !== undefined)) {
      return { label: labelOf(model?.name ?? "network", checkpoint), blocks };
    }
    throw new CommandError(`Cannot draw ${checkpoint}: no block of it learned a k, its scheme is ${scheme?.name}`);
  });
  const title = networks.length === 1 ? networks[0].label : `k of ${networks.length} checkpoints`;
  await replaceTextFile(file, await drawCoefficients(title, networks));
}

/** "lm-resnet-20 (a1b2, step-40)" of runs/a1b2/checkpoints/step-40.safetensors */
function labelOf(model: string, checkpoint: string): string {
  const [, run, file] = /^runs\/([^/]+)\/checkpoints\/(.+)\.safetensors$/.exec(checkpoint) ?? [];
  return `${model} (${run === undefined ? checkpoint : `${run}, ${file}`})`;
}
