import { basename, join } from "node:path";
import type { ImageSource } from "../dataset.ts";
import { asStorageError, DatasetError } from "../errors.ts";
import { fileType } from "../images/file_type.ts";
import { checkRatio } from "./bomb.ts";
import type { CifarLayout } from "./cifar.ts";
import { CIFAR_LAYOUTS, cifarFiles, openCifar } from "./cifar.ts";
import { readStart } from "./file_start.ts";
import { refusePickle } from "./pickle.ts";
import { ofSource, SourceTree } from "./source_tree.ts";
import { isTarHeader, readTar } from "./tar.ts";

/** Bytes of one file of the archive: the largest official one has 154 million. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/**
 * Opens the official archive of CIFAR-10 or CIFAR-100, compressed or not. Its files come in no useful order, so the
 * few that are needed are first unpacked, one chunk at a time, into `scratch`, under names of our own choosing.
 *
 * @param options `scratch`: an existing empty folder, to be removed by the caller when the source has been read
 * @throws {DatasetError} for other archives and damaged ones
 */
export async function openCifarArchive(
  path: string,
  { scratch, signal }: { readonly scratch: string; readonly signal: AbortSignal },
): Promise<ImageSource> {
  let layout: CifarLayout | undefined;
  for await (const member of readTar(await openArchive(path, signal))) {
    refusePickle(member.name);
    const file = member.name.split("/").at(-1) ?? "";
    // The names of the two data sets' files do not overlap.
    const owner = CIFAR_LAYOUTS.find((candidate) => cifarFiles(candidate).includes(file));
    if (!owner || !member.isFile) continue;
    if (layout && layout !== owner) throw new DatasetError("invalid", "Archive holds both CIFAR-10 and CIFAR-100");
    layout = owner;
    if (member.size > MAX_FILE_BYTES) {
      throw new DatasetError(
        "invalid",
        `Archive has ${file} of ${member.size} bytes: at most ${MAX_FILE_BYTES} are accepted`,
      );
    }
    await unpack(member.content, join(scratch, file), file);
  }
  if (!layout) {
    const archives = CIFAR_LAYOUTS.map(({ archive }) => archive).join(" or ");
    throw new DatasetError("invalid", `Archive holds no data set that is known: must be ${archives}`);
  }
  const tree = await SourceTree.open(scratch);
  return openCifar(tree, tree.root, layout);
}

async function unpack(content: AsyncIterable<Uint8Array>, path: string, file: string): Promise<void> {
  try {
    using output = await Deno.open(path, { write: true, createNew: true });
    for await (const chunk of content) {
      for (let at = 0; at < chunk.length;) at += await output.write(chunk.subarray(at));
    }
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw new DatasetError("invalid", `Archive has ${file} twice`);
    throw asStorageError(error, `Cannot unpack ${file} into the data folder`);
  }
}

/** The tar archive's bytes, decompressed where need be. */
async function openArchive(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const start = await readStart(path);
  const type = fileType(start);
  if (type !== "gzip" && !isTarHeader(start)) {
    throw new DatasetError(
      "invalid",
      "Cannot import this file: must be a tar archive (.tar.gz) of CIFAR-10 or CIFAR-100, a zip, an .npz, or a folder",
    );
  }
  const title = basename(path);
  const { size } = await ofSource(title, () => Deno.stat(path));
  const file = await ofSource(title, () => Deno.open(path));
  const bytes = type === "gzip" ? file.readable.pipeThrough(new DecompressionStream("gzip")) : file.readable;
  return guarded(bytes, { title, size, signal });
}

/** Heeds the signal, and what an archive may grow to; a failure of the decompressor becomes ours. */
async function* guarded(
  bytes: AsyncIterable<Uint8Array>,
  { title, size, signal }: { readonly title: string; readonly size: number; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  try {
    let total = 0;
    for await (const chunk of bytes) {
      signal.throwIfAborted();
      total += chunk.length;
      checkRatio(title, total, size);
      yield chunk;
    }
  } catch (error) {
    if (signal.aborted || error instanceof DatasetError) throw error;
    throw new DatasetError("invalid", "Archive is truncated or damaged: it cannot be decompressed to its end", {
      cause: error,
    });
  }
}
