import { assertEquals } from "@std/assert";
import type { FromWorker } from "../../src/engine/protocol.ts";
import { WorkerProcess } from "../../src/engine/worker_process.ts";

Deno.test("WorkerProcess runs its module where it can ask for a garbage collection", async () => {
  const folder = await Deno.makeTempDir({ prefix: "multistep-worker-" });
  try {
    const frames = new URL("../../src/engine/frames.ts", import.meta.url);
    const module = `${folder}/module.ts`;
    await Deno.writeTextFile(
      module,
      `import { encodeFrame } from "${frames}";
      await Deno.stdout.write(encodeFrame({ warning: typeof globalThis.gc }));`,
    );
    const messages: FromWorker[] = [];
    const worker = new WorkerProcess({
      module: new URL(`file://${module}`),
      onMessage: (message) => messages.push(message),
    });
    assertEquals(await worker.ended, "exit code 0");
    assertEquals(messages, [{ warning: "function" }]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
