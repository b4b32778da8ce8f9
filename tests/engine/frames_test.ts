import { assertEquals, assertRejects } from "@std/assert";
import { encodeFrame, readFrames } from "../../src/engine/frames.ts";

/** The bytes in pieces of a size. */
function streamOf(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  return ReadableStream.from(pieces);
}

const messages = [
  { id: 1, loss: NaN, limit: undefined, big: -Infinity },
  { pixels: new Uint8Array([1, 2, 3]), probabilities: new Float32Array([0.1, -0]), counts: new Uint32Array(3) },
  "",
];

Deno.test("readFrames() gives back what encodeFrame() took, however the bytes are cut", async () => {
  const bytes = new Uint8Array(messages.flatMap((message) => [...encodeFrame(message)]));
  for (const size of [1, 3, 64, bytes.length]) {
    assertEquals(await Array.fromAsync(readFrames(streamOf(bytes, size))), messages);
  }
  const cut = readFrames(streamOf(bytes.subarray(0, bytes.length - 1), 16));
  assertEquals(await Array.fromAsync(cut), messages.slice(0, -1));
});

Deno.test("readFrames() refuses bytes that are no messages", async () => {
  const text = new TextEncoder().encode("MESA: warning: something\n");
  await assertRejects(() => Array.fromAsync(readFrames(streamOf(text, 8))), RangeError, "limit");
});
