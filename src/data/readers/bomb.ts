/** Archives that are small until they are unpacked. */
import { DatasetError } from "../errors.ts";

/**
 * What a member of an archive, and all of them together, may be larger than their compressed bytes. Image files hardly
 * compress at all; deflate reaches 1,032, and members that share their bytes any number.
 */
const MAX_RATIO = 200;
/** So much is never a bomb: flat images compress well. */
const HARMLESS_BYTES = 16 * 1024 * 1024;

/**
 * @param what the archive, or the archive and its member
 * @throws {DatasetError} where it grows more than any images do
 */
export function checkRatio(what: string, bytes: number, compressed: number): void {
  if (bytes <= HARMLESS_BYTES || bytes <= MAX_RATIO * compressed) return;
  throw new DatasetError(
    "invalid",
    `Archive looks like a zip bomb: ${what} grows from ${compressed} to ${bytes} bytes, ` +
      `at most ${MAX_RATIO} times its size are accepted`,
  );
}
