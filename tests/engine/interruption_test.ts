/** An end that is asked for while a network is planned or compiled, which may take minutes, comes soon all the same. */
import { existsSync } from "node:fs";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatasetRegistry } from "../../src/data/mod.ts";
import { planTraining, trainingMemory } from "../../src/engine/fit.ts";
import { type Engine, startEngine, type TrainingConfig } from "../../src/engine/mod.ts";
import { paced } from "../../src/engine/pace.ts";
import type { Target } from "../../src/gpu/mod.ts";
import { smallConfig } from "../support/small_training.ts";
import { until } from "../support/until.ts";

const never = new AbortController().signal;
const config: TrainingConfig = { ...smallConfig, epochs: 1, limitTrain: 16, limitTest: 8 };
/** Compiling the network of `config` takes 8 s and more; planning the one of a thousand layers as long. */
const SOON_MS = 4_000;

/** An engine whose driver takes a tenth of a second for a pipeline. */
async function withSlowEngine(run: (engine: Engine, dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-slow-" });
  const worker = new URL("../support/faulty_worker.ts?fault=slow", import.meta.url);
  const engine = await startEngine({ dataDir, worker });
  try {
    await run(engine, dataDir);
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** Milliseconds until something has ended. */
async function lasts(work: Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work;
  return performance.now() - began;
}

Deno.test("train() hears a pause and a cancellation between the pipelines it creates", async () => {
  await withSlowEngine(async (engine, dataDir) => {
    const compiling = () => until(() => existsSync(`${dataDir}/fault-happened`), "the first pipeline", 60);
    const job = { config, folder: "runs/a", resume: false };
    const pause = new AbortController();
    const paused = Array.fromAsync(engine.train(job, never, pause.signal));
    await compiling();
    pause.abort();
    const untilPaused = await lasts(paused);
    assertEquals((await paused).map(({ kind, step }) => [kind, step]), [["paused", 0]]);
    assert(untilPaused < SOON_MS, `paused after ${untilPaused} ms`);

    await Deno.remove(`${dataDir}/fault-happened`);
    const cancel = new AbortController();
    const cancelled = assertRejects(() => Array.fromAsync(engine.train(job, cancel.signal)), Error, "enough");
    await compiling();
    cancel.abort(new Error("enough"));
    const untilCancelled = await lasts(cancelled);
    assert(untilCancelled < SOON_MS, `cancelled after ${untilCancelled} ms`);
  });
});

Deno.test("close() ends a worker in order while that creates pipelines", async () => {
  await withSlowEngine(async (engine, dataDir) => {
    const job = { config, folder: "runs/a", resume: false };
    const training = assertRejects(() => Array.fromAsync(engine.train(job, never)), Error, "aborted");
    await until(() => existsSync(`${dataDir}/fault-happened`), "the first pipeline", 60);
    const untilClosed = await lasts(engine.close(60_000));
    assert(untilClosed < SOON_MS, `closed after ${untilClosed} ms`);
    await training;
  });
});

Deno.test("planning a thousand layers lets other work go on, and hears an abort", async () => {
  const target: Target = {
    software: true,
    subgroupSize: 16,
    maxUniformBindingBytes: 65536,
    maxStorageBindingBytes: 2 ** 30,
    maxBufferBytes: 2 ** 30,
    maxWorkgroupsPerDimension: 65535,
  };
  const adapter = { vendor: "", architecture: "", device: "", description: "", software: true, subgroupSize: 16 };
  const context = { device: { adapter: { ...adapter, features: [], limits: {} }, target, memoryBudget: undefined } };
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-slow-" });
  const dataset = await new DatasetRegistry(dataDir).describe("mnist");
  const model = { name: "lm-resnet-1202" };
  const question = { model, height: 32, width: 32, channels: 3, classes: 10, batchSize: 8, precision: "f32" } as const;
  for (
    const plan of [
      (signal: AbortSignal) => planTraining(context, { ...config, model }, { dataset, interlude: paced(signal) }),
      (signal: AbortSignal) => trainingMemory(context, question, paced(signal)),
    ]
  ) {
    const stop = new AbortController();
    const planned = assertRejects(() => plan(stop.signal), Error, "enough");
    let turns = 0;
    const timer = setInterval(() => ++turns === 3 && stop.abort(new Error("enough")), 1);
    const untilStopped = await lasts(planned);
    clearInterval(timer);
    assert(untilStopped < SOON_MS, `stopped after ${untilStopped} ms`);
  }
  await Deno.remove(dataDir, { recursive: true });
});
