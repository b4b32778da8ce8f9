/** `runs plot` draws what runs learned. */
import { defineClientCommand } from "../command.ts";
import type { Connection } from "../connection.ts";
import { CommandError } from "../errors.ts";
import { drawCurves, type LabelledCurve } from "../curves/draw_curves.ts";
import { readCurve } from "../curves/read_curve.ts";
import { defaulting } from "../options.ts";
import { replaceTextFile } from "../replace_file.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { text } from "../values.ts";

export const plotCommand = defineClientCommand({
  name: "plot",
  summary: `Draws the loss and accuracy of runs over their epochs, as one SVG file; RUN is ${runNameHelp}`,
  options: {
    output: defaulting(text("FILE"), "curves.svg", "Where to; a file that is there is replaced"),
  },
  positionals: { placeholder: "RUN", minimum: 1, maximum: Infinity },
  async run({ values, positionals }, { connection, output }) {
    const curves: LabelledCurve[] = [];
    const runs: string[] = [];
    for (const given of positionals) {
      const name = await resolveRun(connection, given);
      runs.push(name);
      curves.push(await labelledCurve(connection, name));
    }
    const title = runs.length === 1 ? runs[0] : `${runs.length} runs`;
    await replaceTextFile(values.output, await drawCurves(title, curves));
    output.object({ output: values.output, runs });
    output.lines(`Drew ${runs.join(", ")} to ${values.output}`);
    return 0;
  },
});

/** @throws {CommandError} the run has told nothing yet that can be drawn */
async function labelledCurve(connection: Connection, name: string): Promise<LabelledCurve> {
  const { run } = await connection.training.getRun({ name }, connection.quick);
  if (run === undefined) throw new CommandError(`The server's answer has no run for ${name}`);
  const curve = await readCurve(connection, run);
  if (curve.training.length + curve.evaluation.length === 0) {
    throw new CommandError(`Cannot draw ${name}: it has no training step behind it yet`);
  }
  return { label: `${run.config?.model?.name ?? "network"} (${name.replace("runs/", "")})`, curve };
}
