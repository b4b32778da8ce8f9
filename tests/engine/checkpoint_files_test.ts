import { assertEquals, assertRejects } from "@std/assert";
import { readCheckpoint } from "../../src/engine/checkpoint_files.ts";
import { EngineError } from "../../src/engine/mod.ts";
import { Exporter } from "../../src/engine/export.ts";
import { encodeCheckpoint } from "../../src/models/mod.ts";
import { checkpointAt } from "../support/checkpoints.ts";

Deno.test("readCheckpoint() and export() tell lost data from a path that is the request's fault", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-checkpoints-" });
  const ofRun = "runs/a/checkpoints/step-00000007.safetensors";
  await Deno.mkdir(`${dataDir}/runs/a/checkpoints`, { recursive: true });
  const whole = encodeCheckpoint(checkpointAt(7));
  const cut = whole.slice(0, whole.length - 10);
  const text = new TextEncoder().encode("not a checkpoint");
  const cases = [
    { path: "copy.safetensors", bytes: cut, kind: "damaged" },
    { path: "copy.safetensors", bytes: text, kind: "invalid" },
    { path: "copy.safetensors", bytes: new Uint8Array(), kind: "invalid" },
    { path: ofRun, bytes: cut, kind: "damaged" },
    // What a disk may leave of a file that it has lost.
    { path: ofRun, bytes: new Uint8Array(whole.length), kind: "damaged" },
    { path: ofRun, bytes: new Uint8Array(), kind: "damaged" },
    { path: "runs/a/notes.safetensors", bytes: text, kind: "invalid" },
    { path: "runs/a/checkpoints", kind: "invalid" },
    { path: "none.safetensors", kind: "not-found" },
  ];
  for (const { path, bytes, kind } of cases) {
    if (bytes) await Deno.writeFile(`${dataDir}/${path}`, bytes);
    const read = await assertRejects(() => readCheckpoint(dataDir, path), EngineError, `"${path}"`);
    const exporter = new Exporter(dataDir);
    const exported = await assertRejects(
      () => exporter.export({ checkpoint: path, optimizerState: true }),
      EngineError,
    );
    assertEquals([path, read.kind, exported.kind], [path, kind, kind]);
  }
  await Deno.remove(dataDir, { recursive: true });
});
