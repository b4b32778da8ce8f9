/** The data folder: made and checked at start, and held by one server at a time. */
import { join } from "node:path";
import { ServerError } from "./errors.ts";

/** A data folder that this process holds until `release()`. */
export interface DataFolder {
  /** Absolute, symbolic links resolved. */
  readonly path: string;
  release(): void;
}

/**
 * Makes the folder if it is missing, checks that it can be written, and holds it.
 * The hold is a lock of the operating system, so that it ends with the process, however that ends.
 * @throws {ServerError} the path is no folder, cannot be made or written, or another server holds it.
 */
export function holdDataFolder(path: string): DataFolder {
  makeFolder(path);
  const resolved = Deno.realPathSync(path);
  const lock = openLock(resolved);
  return { path: resolved, release: () => lock.close() };
}

function makeFolder(path: string): void {
  try {
    Deno.mkdirSync(path, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
      throw new ServerError(`Cannot use "${path}" as the data folder: it, or a part of its path, is a file`, {
        cause: error,
      });
    }
    throw new ServerError(`Cannot make the data folder "${path}": ${reason(error)}`, { cause: error });
  }
}

function openLock(folder: string): Deno.FsFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(join(folder, "multistep.lock"), { read: true, write: true, create: true });
  } catch (error) {
    throw new ServerError(`Cannot write in the data folder "${folder}": ${reason(error)}`, { cause: error });
  }
  if (!file.tryLockSync(true)) {
    const holder = readHolder(file);
    file.close();
    throw new ServerError(`Cannot use the data folder "${folder}": another server (process ${holder}) holds it`);
  }
  try {
    file.truncateSync();
    file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  } catch (error) {
    file.close();
    throw new ServerError(`Cannot write in the data folder "${folder}": ${reason(error)}`, { cause: error });
  }
  return file;
}

function readHolder(file: Deno.FsFile): string {
  const bytes = new Uint8Array(32);
  const length = file.readSync(bytes) ?? 0;
  return new TextDecoder().decode(bytes.subarray(0, length)).trim() || "unknown";
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  // "No space left on device (os error 28)": the text before the brackets says it.
  return error instanceof Error ? error.message.replace(/ \(os error \d+\).*$/, "") : String(error);
}
