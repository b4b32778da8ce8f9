import { assertEquals, assertRejects } from "@std/assert";
import { EngineError } from "../../src/engine/mod.ts";
import { holdEngineLock } from "../../src/engine/worker_lock.ts";

const module = new URL("../../src/engine/worker_lock.ts", import.meta.url).href;

Deno.test("holdEngineLock() waits for the process that has it to end, and names one that does not", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-lock-" });
  const code = `import { holdEngineLock } from "${module}";
    await holdEngineLock(${JSON.stringify(dataDir)}); console.log("held"); setInterval(() => {}, 1000);`;
  const holder = new Deno.Command(Deno.execPath(), { args: ["eval", code], stdout: "piped" }).spawn();
  const output = holder.stdout.getReader();
  await output.read();
  const error = await assertRejects(() => holdEngineLock(dataDir, 100), EngineError, `process ${holder.pid}`);
  assertEquals(error.kind, "unavailable");
  const waiting = holdEngineLock(dataDir);
  holder.kill("SIGKILL");
  await holder.status;
  await output.cancel();
  using _lock = await waiting;
  assertEquals(Number(await Deno.readTextFile(`${dataDir}/engine.lock`)), Deno.pid);
  await Deno.remove(dataDir, { recursive: true });
});
