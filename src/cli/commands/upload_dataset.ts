/** `datasets upload` sends a file of this machine to the server, which registers it as a data set. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { UploadDatasetRequestSchema, UploadHeaderSchema } from "../../gen/mod.ts";
import { type ClientSession, defineClientCommand } from "../command.ts";
import { showImported } from "../dataset_view.ts";
import { CommandError } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { importFormatOptions, readImportFormat } from "../import_options.ts";
import { interruptible } from "../interruptible.ts";
import { pacer } from "../pacer.ts";

/** Of the file in one message. */
const CHUNK_BYTES = 256 * 1024;

export const uploadCommand = defineClientCommand({
  name: "upload",
  summary: "Sends a file of this machine, such as a zip of SPLIT/CLASS/*.jpg|png|webp, and registers it as a data set",
  options: importFormatOptions,
  positionals: { placeholder: "NAME FILE", minimum: 2, maximum: 2 },
  async run({ values, positionals: [name, path] }, session) {
    const bytes = await lengthOf(path);
    return await interruptible(session.context, "nothing of the upload is kept", async (signal) => {
      session.output.progress.update({ done: 0, total: bytes, text: "reading the file's checksum" });
      const sha256 = await sha256Of(path, signal);
      const header = { name, fileName: basename(path), totalBytes: BigInt(bytes), sha256, ...readImportFormat(values) };
      const { dataset, report } = await session.connection.catalog.uploadDataset(
        requests(session, { path, header, bytes, signal }),
        { signal },
      );
      if (dataset === undefined) throw new CommandError("The server ended the upload without a data set");
      showImported(dataset, report, session.output);
      return 0;
    });
  },
});

interface FileToSend {
  readonly path: string;
  readonly header: MessageInitShape<typeof UploadHeaderSchema>;
  readonly bytes: number;
  readonly signal: AbortSignal;
}

/** The header, then the content no faster than the network takes it. */
async function* requests(
  { connection, output }: ClientSession,
  { path, header, bytes, signal }: FileToSend,
): AsyncGenerator<MessageInitShape<typeof UploadDatasetRequestSchema>> {
  yield { kind: { case: "header", value: header } };
  using file = await Deno.open(path);
  const pace = pacer(connection.bytesSent, signal);
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (let done = 0;;) {
    const read = await file.read(buffer);
    if (read === null) break;
    done += read;
    await pace(read);
    yield { kind: { case: "data", value: buffer.slice(0, read) } };
    const text = `sent ${formatBytes(done)} of ${formatBytes(bytes)}`;
    output.progress.update({ done, total: bytes, text });
  }
  output.progress.note("Sent; the server imports it");
}

/** @throws {CommandError} where the path is not a file's */
async function lengthOf(path: string): Promise<number> {
  const { isDirectory, size } = await readable(path, () => Deno.stat(path));
  if (!isDirectory) return size;
  throw new CommandError(`Cannot upload "${path}": it is a folder; make a zip of what it holds and upload that`);
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const file = await readable(path, () => Deno.open(path));
  for await (const chunk of file.readable) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  return hash.digest("hex");
}

async function readable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "it does not exist"
      : error instanceof Deno.errors.PermissionDenied
      ? "permission denied"
      : String(error);
    throw new CommandError(`Cannot read "${path}": ${reason}`, { cause: error });
  }
}
