/** `models export` writes a trained network to a file. */
import { createHash } from "node:crypto";
import { CheckpointChoice, type ExportModelResponse } from "../../gen/mod.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { CommandError } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { defaulting, flag, required } from "../options.ts";
import { replaceFile, writeAll } from "../replace_file.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { text } from "../values.ts";

export const exportCommand = defineClientCommand({
  name: "export",
  summary: `Writes a run's network to a safetensors file, which PyTorch's loader reads; RUN is ${runNameHelp}`,
  options: {
    output: required(text("FILE"), "Where to; a file that is there is replaced when the new one is whole"),
    checkpoint: defaulting(text("newest|best|PATH"), "newest", 'Which checkpoint; "runs get RUN" lists their paths'),
    "optimizer-state": flag("With the optimiser's momentum, from which training can go on"),
  },
  positionals: { placeholder: "RUN", minimum: 1, maximum: 1 },
  async run({ values, positionals }, session) {
    const { connection, output } = session;
    const run = await resolveRun(connection, positionals[0]);
    const request = { name: run, optimizerState: values["optimizer-state"], which: whichOf(values.checkpoint) };
    const first = await connection.training.exportModel(request, connection.quick);
    await replaceFile(values.output, (file) => download(session, { file, request, first }));
    const { checkpoint, totalBytes, sha256 } = first;
    const { path = "", step = 0, epoch = 0 } = checkpoint ?? {};
    output.object({ run, output: values.output, checkpoint: path, step, epoch, bytes: Number(totalBytes), sha256 });
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
  readonly request: { readonly name: string; readonly optimizerState: boolean };
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
