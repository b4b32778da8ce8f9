/** A GPU that fails: the job that met it is told, another worker takes over, the next job is as if nothing had been. */
import { existsSync } from "node:fs";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  type Engine,
  EngineError,
  startEngine,
  type TrainingConfig,
  type TrainingEvent,
} from "../../src/engine/mod.ts";
import { holdEngineLock } from "../../src/engine/worker_lock.ts";
import { smallConfig, workerProcessId } from "../support/small_training.ts";
import { until } from "../support/until.ts";

const never = new AbortController().signal;
const config: TrainingConfig = { ...smallConfig, epochs: 1, limitTrain: 16, limitTest: 8, checkpointEverySteps: 1 };
const lossesOf = (events: readonly TrainingEvent[]) =>
  events.flatMap((event) => event.kind === "progress" ? [event.metrics.loss] : []);

async function withFaultyEngine(
  query: string,
  run: (engine: Engine, dataDir: string) => Promise<void>,
  stepTimeoutMs?: number,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-fault-" });
  const worker = new URL(`../support/faulty_worker.ts?${query}`, import.meta.url);
  const engine = await startEngine({ dataDir, worker, stepTimeoutMs });
  try {
    await run(engine, dataDir);
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

interface Case {
  readonly fault: string;
  readonly message: string;
  readonly stepTimeoutMs?: number;
}

const cases: readonly Case[] = [
  { fault: "fault=lost&after=70", message: "The GPU device was lost" },
  { fault: "fault=validation&after=70", message: "usage" },
  { fault: "fault=shader&after=3", message: "Cannot build the kernel" },
  { fault: "fault=out-of-memory&after=3", message: "out of memory" },
  { fault: "fault=hang&after=70", message: "did not answer for", stepTimeoutMs: 12_000 },
  { fault: "fault=crash&after=70", message: "ended unexpectedly" },
];

for (const { fault, message, stepTimeoutMs } of cases) {
  Deno.test(`train() fails as a fault on "${fault}", and goes on with another worker`, async () => {
    await withFaultyEngine(fault, async (engine) => {
      const changes: boolean[] = [];
      engine.onAvailability((available) => changes.push(available));
      const job = { config, folder: "runs/a", resume: false };
      const error = await assertRejects(() => Array.fromAsync(engine.train(job, never)), EngineError);
      assertStringIncludes(error.message, message);
      assertEquals(error.kind, "fault");
      const events = await Array.fromAsync(engine.train({ ...job, resume: true }, never));
      assertEquals([lossesOf(events).length > 0, events.at(-1)?.step], [true, 2]);
      assertEquals([changes, engine.available], [[false, true], true]);
    }, stepTimeoutMs);
  });
}

Deno.test("startEngine() says that the worker could not open the GPU", async () => {
  const error = await assertRejects(() => withFaultyEngine("fault=open", async () => {}), EngineError);
  assertEquals(error.kind, "unavailable");
  assertStringIncludes(error.message, "exit code 7");
});

Deno.test("infer() under way when the GPU fails is answered by the next worker; evaluate() fails as a fault", async () => {
  await withFaultyEngine("fault=lost", async (engine, dataDir) => {
    const events = await Array.fromAsync(engine.train({ config, folder: "runs/a", resume: false }, never));
    const checkpoint = events.flatMap((event) => event.kind === "checkpoint" ? [event.checkpoint.path] : [])[0];
    const infer = () => engine.infer({ checkpoint, pixels: new Uint8Array(28 * 28), images: 1 }, never);
    const before = await infer();
    await Deno.writeTextFile(`${dataDir}/fail-now`, "");
    assertEquals(await Promise.all([infer(), infer()]), [before, before]);
    assert(Deno.statSync(`${dataDir}/fault-happened`).isFile);
    Deno.removeSync(`${dataDir}/fault-happened`);
    Deno.kill(workerProcessId(dataDir), "SIGKILL");
    const evaluation = engine.evaluate({ checkpoint, split: "test", batchSize: 8, limit: 8 }, never);
    const error = await assertRejects(() => Array.fromAsync(evaluation), EngineError);
    assertEquals(error.kind, "fault");
    assertEquals(await infer(), before);
  });
});

Deno.test("close() kills a worker that does not let go in the time it is given", async () => {
  await withFaultyEngine("fault=hang&after=1", async (engine, dataDir) => {
    const training = Array.fromAsync(engine.train({ config, folder: "runs/a", resume: false }, never));
    const ended = assertRejects(() => training, EngineError, "The engine was closed");
    await until(() => existsSync(`${dataDir}/fault-happened`), "the hang", 60);
    const began = performance.now();
    await engine.close(500);
    assert(performance.now() - began < 5_000, "close() took longer than it was given");
    await ended;
  });
});

Deno.test("train() that waits for another worker hears a pause", async () => {
  await withFaultyEngine("fault=reopen-hangs", async (engine, dataDir) => {
    Deno.kill(workerProcessId(dataDir), "SIGKILL");
    await until(() => !engine.available, "the end of the worker");
    const pause = new AbortController();
    const events = Array.fromAsync(engine.train({ config, folder: "runs/a", resume: false }, never, pause.signal));
    setTimeout(() => pause.abort(), 50);
    assertEquals(await events, [{ kind: "paused", step: 0, epoch: 0 }]);
  });
});

/** A process of its own that starts an engine and does what the script says; it is given up, not closed. */
function startEngineProcess(options: string, script: string): Deno.ChildProcess {
  const modules = ["../../src/engine/mod.ts", "../support/small_training.ts"].map((path) => {
    return new URL(path, import.meta.url).href;
  });
  const program = `
    const modules = ${JSON.stringify(modules)}.map((module) => import(module));
    const [{ startEngine }, { workerProcessId }] = await Promise.all(modules);
    await startEngine(${options});
    ${script}
  `;
  const args = ["eval", "--no-check", program];
  return new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "null" }).spawn();
}

/** Whether the worker that had the data folder is gone; kills it where it is not. */
async function isFreed(dataDir: string): Promise<boolean> {
  const worker = workerProcessId(dataDir);
  try {
    (await holdEngineLock(dataDir, 5_000))[Symbol.dispose]();
    return true;
  } catch {
    Deno.kill(worker, "SIGKILL");
    return false;
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("a worker that hangs ends with its process, however early that ends", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-fault-" });
  const child = startEngineProcess(
    `{ dataDir: "${dataDir}" }`,
    `Deno.kill(workerProcessId("${dataDir}"), "SIGSTOP");
    Deno.exit(130);`,
  );
  assertEquals((await child.status).code, 130);
  assert(await isFreed(dataDir));
});

Deno.test("a worker that hangs ends soon after its process was killed", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-fault-" });
  const worker = new URL("../support/faulty_worker.ts?fault=open-hangs", import.meta.url).href;
  const child = startEngineProcess(`{ dataDir: "${dataDir}", worker: new URL("${worker}") }`, "");
  try {
    await until(() => existsSync(`${dataDir}/fault-happened`), "the hang");
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
  assert(await isFreed(dataDir));
});
