/** Imports in a process of its own, to be killed: says when it is half-way, and stays there. */
import { DatasetRegistry } from "../../src/data/mod.ts";

const [dataDir, name, source, kind] = Deno.args;
await new DatasetRegistry(dataDir).import(name, source, {
  height: 224,
  width: 224,
  streamed: kind === "streamed",
  onProgress: (done, total) => {
    if (done * 2 < total) return;
    Deno.stdout.writeSync(new TextEncoder().encode("half-way\n"));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
});
