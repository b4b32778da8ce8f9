import { createHash } from "node:crypto";
import { basename } from "node:path";
import { DatasetError } from "../errors.ts";
import { ofSource } from "./source_tree.ts";

/**
 * Reads all of a file and compares.
 *
 * @param expected hexadecimal, of any case
 * @throws {DatasetError} where it differs, is no SHA-256, or the path is a folder's
 */
export async function verifyChecksum(path: string, expected: string, signal: AbortSignal): Promise<void> {
  const name = basename(path);
  const refuse = (problem: string) => new DatasetError("invalid", `Cannot import ${name}: ${problem}`);
  if (!/^[0-9a-f]{64}$/i.test(expected)) {
    throw refuse(`the SHA-256 "${expected.slice(0, 80)}" is none: must be 64 hexadecimal digits`);
  }
  const { isFile } = await ofSource(name, () => Deno.stat(path));
  if (!isFile) throw refuse("a SHA-256 was given, but only a file has one");
  const hash = createHash("sha256");
  const file = await ofSource(name, () => Deno.open(path));
  for await (const chunk of file.readable) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  const found = hash.digest("hex");
  if (found !== expected.toLowerCase()) throw refuse(`its SHA-256 is ${found}, not ${expected.toLowerCase()}`);
}
