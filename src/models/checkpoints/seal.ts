/**
 * A checksum that covers every byte of a safetensors file and lies within it: the metadata's `sha256` is the SHA-256 of
 * the file with the digits of the checksum itself taken as zeros.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { CheckpointError } from "./safetensors.ts";

const BLANK = "0".repeat(64);
/** In the header's JSON; within a name or a value its quotes would be escaped. */
const OPENING = '"sha256":"';

/** To be written as metadata; `seal` fills it in. */
export const BLANK_SEAL = { sha256: BLANK } as const;

/** Fills in the checksum of a file that was written with `BLANK_SEAL`. */
export function seal(file: Uint8Array<ArrayBuffer>): void {
  const start = sealStart(file);
  file.set(new TextEncoder().encode(digestAround(file, start)), start);
}

/** @throws {CheckpointError} The file has no checksum, or is not what it was computed from. */
export function checkSeal(file: Uint8Array<ArrayBuffer>): void {
  const start = sealStart(file);
  const written = new TextDecoder().decode(file.subarray(start, start + BLANK.length));
  if (written !== digestAround(file, start)) {
    throw new CheckpointError("Cannot use the checkpoint: its checksum does not match, it was damaged or altered");
  }
}

function sealStart(file: Uint8Array<ArrayBuffer>): number {
  const headerEnd = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const at = Buffer.from(file.buffer, file.byteOffset, headerEnd).indexOf(OPENING);
  if (at < 0) throw new CheckpointError("Cannot use the checkpoint: it has no checksum");
  return at + OPENING.length;
}

function digestAround(file: Uint8Array<ArrayBuffer>, start: number): string {
  return createHash("sha256")
    .update(file.subarray(0, start))
    .update(BLANK)
    .update(file.subarray(start + BLANK.length))
    .digest("hex");
}
