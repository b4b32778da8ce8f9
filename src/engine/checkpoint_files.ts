/** One checkpoint file: written whole or not at all, read with every doubt. */
import { dirname } from "node:path";
import { type Checkpoint, CheckpointError, DamagedCheckpointError, decodeCheckpoint } from "../models/mod.ts";
import { EngineError } from "./messages.ts";

/** Marks a file that is not whole yet. */
export const PARTIAL = ".partial";

/** Twice what the largest network here needs; a larger file is none of ours, and is not read into memory. */
const MAX_BYTES = 4 * 2 ** 30;

/** Where runs keep their checkpoints and nobody else writes: what cannot be read there could be, once. */
const OF_A_RUN = /^runs\/[^/]+\/checkpoints\/step-\d+\.safetensors$/;

/** A file that is whole on the disk, under a temporary name; disposed of unpublished, it is gone. */
export interface StagedFile extends AsyncDisposable {
  /** @throws {EngineError} `storage` */
  publish(): Promise<void>;
}

/**
 * Writes a file so that a reader, and a machine that loses its power, sees all of it or nothing: to a temporary name, to
 * the disk; `publish` renames it, and writes the folder to the disk.
 *
 * @throws {EngineError} `storage` when the disk or the folder does not take it; nothing is left of it then.
 */
export async function stageFile(path: string, bytes: Uint8Array): Promise<StagedFile> {
  const partial = path + PARTIAL;
  const discard = () => Deno.remove(partial).catch(() => {});
  try {
    using file = await Deno.open(partial, { write: true, create: true, truncate: true });
    let written = 0;
    while (written < bytes.length) written += await file.write(bytes.subarray(written));
    await file.sync();
  } catch (cause) {
    await discard();
    throw storageError("write a checkpoint", cause);
  }
  return {
    async publish() {
      try {
        await Deno.rename(partial, path);
        await syncFolder(dirname(path));
      } catch (cause) {
        throw storageError("write a checkpoint", cause);
      }
    },
    [Symbol.asyncDispose]: discard,
  };
}

/** Makes a folder within `root` and sees to it that its name, and those of the folders above, are on the disk. */
export async function makeFolderDurably(root: string, folder: string): Promise<void> {
  try {
    await Deno.mkdir(`${root}/${folder}`, { recursive: true });
    for (let path = folder; path !== "."; path = dirname(path)) await syncFolder(`${root}/${dirname(path)}`);
  } catch (cause) {
    throw storageError("make the folder of the checkpoints", cause);
  }
}

/** Deletes a file, if it is there. @throws {EngineError} `storage` */
export async function removeFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw storageError("delete a checkpoint", cause);
  }
}

/**
 * @param path Relative to the data folder.
 * @throws {EngineError} as `readCheckpointBytes()` and `useCheckpoint()`.
 */
export async function readCheckpoint(dataDir: string, path: string): Promise<Checkpoint> {
  const bytes = await readCheckpointBytes(dataDir, path);
  return useCheckpoint(path, () => decodeCheckpoint(bytes));
}

/**
 * Does something that may find the file of this path to be no checkpoint.
 * @throws {EngineError} `damaged` for what was one, `invalid` for what never was.
 */
export function useCheckpoint<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const kind = error instanceof DamagedCheckpointError ? "damaged" : unreadableKind(path);
    throw new EngineError(kind, `Cannot read the checkpoint "${path}": ${error.message}`, { cause: error });
  }
}

/**
 * The bytes of a file that may be a checkpoint.
 * @throws {EngineError} `not-found`, or for what is no readable file or too large for one of ours `invalid`, among a
 * run's checkpoints `damaged`.
 */
export function readCheckpointBytes(dataDir: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  return readWeightsFile(`${dataDir}/${path}`, { told: `the checkpoint "${path}"`, kind: unreadableKind(path) });
}

/**
 * The bytes of a file of weights.
 * @param options `told`: what errors call it; `kind`: theirs, for what is no readable file or too large for one of ours.
 * @throws {EngineError} `not-found`, or of that kind.
 */
export async function readWeightsFile(
  path: string,
  { told, kind }: { readonly told: string; readonly kind: "damaged" | "invalid" },
): Promise<Uint8Array<ArrayBuffer>> {
  const unreadable = (reason: string, cause?: unknown) =>
    new EngineError(kind, `Cannot read ${told}: ${reason}`, { cause });
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile) throw unreadable("it is no readable file");
    if (size > MAX_BYTES) throw unreadable(`it has ${size} bytes, a checkpoint at most ${MAX_BYTES}`);
    return await Deno.readFile(path);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) {
      throw new EngineError("not-found", `Cannot find ${told}`, { cause });
    }
    throw unreadable("it is no readable file", cause);
  }
}

function unreadableKind(path: string): "damaged" | "invalid" {
  return OF_A_RUN.test(path) ? "damaged" : "invalid";
}

async function syncFolder(path: string): Promise<void> {
  // Windows does not open folders, and needs no sync of them.
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}

/** What the operating system refused, in words for a user: without the path. */
function storageError(action: string, cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const reason = code === "ENOSPC" || code === "EDQUOT"
    ? "no space is left on the disk"
    : code === "EROFS" || code === "EACCES" || code === "EPERM"
    ? "the data folder cannot be written"
    : `the disk refused it${typeof code === "string" ? ` (${code})` : ""}`;
  return new EngineError("storage", `Cannot ${action}: ${reason}`, { cause });
}
