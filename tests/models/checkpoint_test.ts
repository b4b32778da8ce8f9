import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Checkpoint,
  CheckpointError,
  DamagedCheckpointError,
  decodeCheckpoint,
  encodeCheckpoint,
  readSafetensors,
  writeSafetensors,
} from "../../src/models/mod.ts";
import { checkpointAt } from "../support/checkpoints.ts";

Deno.test("decodeCheckpoint() gives back what encodeCheckpoint() took, bits included", () => {
  const checkpoint: Checkpoint = {
    ...checkpointAt(7),
    best: { step: 5, top1: 0.1 + 0.2, loss: 1e-300 },
    parameters: new Map([["w", { shape: [2, 2], data: new Float32Array([-0, NaN, 1e-45, 3e38]) }]]),
  };
  assertEquals(decodeCheckpoint(encodeCheckpoint(checkpoint)), checkpoint);
  assertEquals(encodeCheckpoint(checkpoint), encodeCheckpoint(structuredClone(checkpoint)));
});

Deno.test("decodeCheckpoint() refuses a file with any one byte changed", () => {
  const whole = encodeCheckpoint(checkpointAt(7));
  for (let at = 0; at < whole.length; at++) {
    const altered = whole.slice();
    altered[at] ^= 0x20;
    assertThrows(() => decodeCheckpoint(altered), CheckpointError);
  }
});

Deno.test("decodeCheckpoint() refuses a file that ends early, or goes on", () => {
  const whole = encodeCheckpoint(checkpointAt(7));
  for (const length of [0, 7, 8, 100, whole.length - 1]) {
    assertThrows(() => decodeCheckpoint(whole.slice(0, length)), CheckpointError);
  }
  const longer = new Uint8Array(whole.length + 4);
  longer.set(whole);
  assertThrows(() => decodeCheckpoint(longer), CheckpointError);
});

Deno.test("decodeCheckpoint() tells what was a checkpoint once from what never was one", () => {
  const whole = encodeCheckpoint(checkpointAt(7));
  const flipped = whole.slice();
  flipped[whole.length - 1] ^= 1;
  for (const damaged of [flipped, whole.slice(0, whole.length - 1), whole.slice(0, whole.length - 60)]) {
    assertThrows(() => decodeCheckpoint(damaged), DamagedCheckpointError);
  }
  for (const bytes of [new TextEncoder().encode("a letter"), writeSafetensors({}, { format: "multistep-0" })]) {
    const error = assertThrows(() => decodeCheckpoint(bytes), CheckpointError);
    assert(!(error instanceof DamagedCheckpointError), error.message);
  }
});

Deno.test("decodeCheckpoint() refuses a file of the same content without a checksum", () => {
  const { tensors, metadata } = readSafetensors(encodeCheckpoint(checkpointAt(7)));
  const { sha256: _, ...rest } = metadata;
  assertThrows(() => decodeCheckpoint(writeSafetensors(tensors, rest)), DamagedCheckpointError, "no checksum");
  assertThrows(() => decodeCheckpoint(writeSafetensors(tensors, { format: "pt" })), CheckpointError, '"pt"');
});
