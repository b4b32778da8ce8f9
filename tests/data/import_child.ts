/** Imports in a process of its own, to be killed: says when it is past the half, and stays there. */
import { DatasetRegistry } from "../../src/data/mod.ts";

const [dataDir, name, source, kind] = Deno.args;
await new DatasetRegistry(dataDir).import(name, source, {
  height: 224,
  width: 224,
  streamed: kind === "streamed",
  journalInterval: 0,
  onProgress: (done, total) => {
    // The chunk before this one is in the journal.
    if (done * 2 < total) return;
    Deno.stdout.writeSync(new TextEncoder().encode("half-way\n"));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
});
