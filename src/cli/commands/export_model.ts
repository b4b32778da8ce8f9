/** `models export` writes a trained network to a file. */
import { createHash } from "node:crypto";
import { CheckpointChoice, ExportFormat, ExportFormatSchema, type ExportModelResponse } from "../../gen/mod.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { enumChoice } from "../enum_choice.ts";
import { CommandError, UsageError } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { defaulting, flag, optional, required } from "../options.ts";
import { replaceFile, writeAll } from "../replace_file.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { text } from "../values.ts";

export const exportCommand = defineClientCommand({
  name: "export",
  summary: `Writes a trained network to a safetensors file; RUN is ${runNameHelp}, or left out for an imported model`,
  options: {
    output: required(text("FILE"), "Where to; a file that is there is replaced when the new one is whole"),
    checkpoint: defaulting(text("newest|best|PATH"), "newest", 'Which checkpoint; "runs get RUN" lists their paths'),
    format: optional(
      enumChoice(ExportFormatSchema),
      "With what Multistep keeps of it, or as PyTorch's load_state_dict() takes it (default: checkpoint)",
    ),
    "optimizer-state": flag("With the optimiser's momentum, from which training can go on"),
  },
  positionals: { placeholder: "RUN", minimum: 0, maximum: 1 },
  async run({ values, positionals: [given] }, session) {
    const { connection, output } = session;
    const which = whichOf(values.checkpoint);
    if (given === undefined && which.case !== "path") {
      throw new UsageError("Give a RUN, or --checkpoint PATH of an imported model");
    }
    const run = given === undefined ? "" : await resolveRun(connection, given);
    const { format = ExportFormat.CHECKPOINT, "optimizer-state": optimizerState } = values;
    const request = { name: run, optimizerState, format, which };
    const first = await connection.training.exportModel(request, connection.quick);
    await replaceFile(values.output, (file) => download(session, { file, request, first }));
    const { checkpoint, totalBytes, sha256 } = first;
    const { path = "", step = 0, epoch = 0 } = checkpoint ?? {};
    output.object({
      run: run || undefined,
      output: values.output,
      checkpoint: path,
      step,
      epoch,
      bytes: Number(totalBytes),
      sha256,
    });
    output.lines(`Wrote ${path} to ${values.output} (${formatBytes(totalBytes)}, SHA-256 ${sha256})`);
    return 0;
  },
});

function whichOf(checkpoint: string) {
  if (checkpoint === "newest") return { case: "choice", value: CheckpointChoice.NEWEST } as const;
  if (checkpoint === "best") return { case: "choice", value: CheckpointChoice.BEST } as const;
  return { case: "path", value: checkpoint } as const;
}

interface Download {
  readonly file: Deno.FsFile;
  readonly request: {
    readonly name: string;
    readonly optimizerState: boolean;
    readonly format: ExportFormat;
  };
  /** The first piece's answer. */
  readonly first: ExportModelResponse;
}

/** Writes piece after piece. @throws {CommandError} what came is not what was announced. */
async function download({ connection, output }: ClientSession, { file, request, first }: Download): Promise<void> {
  const { totalBytes, sha256, checkpoint } = first;
  // A run that goes on has a newer checkpoint soon.
  const which = { case: "path", value: checkpoint?.path ?? "" } as const;
  const hash = createHash("sha256");
  let offset = 0n;
  for (let { data } = first; data.length > 0;) {
    await writeAll(file, data);
    hash.update(data);
    offset += BigInt(data.length);
    const text = `${formatBytes(offset)} of ${formatBytes(totalBytes)}`;
    output.progress.update({ done: Number(offset), total: Number(totalBytes), text });
    if (offset >= totalBytes) break;
    const next = await connection.training.exportModel({ ...request, which, offset }, connection.quick);
    if (next.sha256 !== sha256) throw new CommandError("The server's file changed while it was read; try again");
    data = next.data;
  }
  output.progress.stop();
  if (offset === totalBytes && hash.digest("hex") === sha256) return;
  throw new CommandError(`The file that came is not the server's: ${offset} of ${totalBytes} bytes, or other ones`);
}
