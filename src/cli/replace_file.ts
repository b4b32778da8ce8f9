/** Files that are either as they were or whole. */
import { ConnectError } from "@connectrpc/connect";
import { cannotWrite, CommandError } from "./errors.ts";

/**
 * Gives a file new content, or leaves it as it was.
 * @throws {CommandError} it cannot be written; what `write` throws
 */
export async function replaceFile(path: string, write: (file: Deno.FsFile) => Promise<void>): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.partial`;
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      await write(file);
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    if (error instanceof CommandError || error instanceof ConnectError) throw error;
    throw cannotWrite(path, error);
  }
}

/** @throws {CommandError} it cannot be written */
export function replaceTextFile(path: string, text: string): Promise<void> {
  return replaceFile(path, (file) => writeAll(file, new TextEncoder().encode(text)));
}

export async function writeAll(file: Deno.FsFile, data: Uint8Array): Promise<void> {
  for (let written = 0; written < data.length;) written += await file.write(data.subarray(written));
}
