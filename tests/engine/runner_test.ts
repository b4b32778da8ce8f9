/** What a step costs in calls: counted on the real device. */
import { assert, assertEquals } from "@std/assert";
import { ALL_BATCHES, HostFeed } from "../../src/engine/batch_feed.ts";
import type { Batch } from "../../src/engine/batches.ts";
import type { Program } from "../../src/engine/programs.ts";
import { pipelined, planProgram, Runner } from "../../src/engine/runner.ts";
import {
  decodeImages,
  differentiate,
  globalAveragePool,
  GpuDevice,
  Graph,
  linear,
  linearCombination,
  sgd,
  softmaxCrossEntropy,
  STEP_BYTES,
  Variables,
} from "../../src/gpu/mod.ts";

const batchSize = 4;
const step = { learningRate: 0.01, seed: 1, epoch: 0, step: 0 };
const data = { count: 24, pixels: new Uint8Array(24 * 192), labels: new Uint32Array(24) };

Deno.test("Runner.submit() is one submit, waits for nothing and creates nothing", async () => {
  const device = await GpuDevice.open();
  const program = smallProgram();
  const plan = await planProgram({ device }, program);
  const variables = new Variables(device, plan);
  const runner = await Runner.create(device, program, { plan, variables });
  const calls = recordCalls(device);
  try {
    const submit = (batch: Batch) => ({ runner, ticket: runner.submit(batch, step) });
    const { signal } = new AbortController();
    const batches = await Array.fromAsync(HostFeed.sequential(data, { batchSize }).batches(0, ALL_BATCHES, signal));
    const { ticket } = submit(batches[0]);
    assertEquals(calls.splice(0), ["submit"]);
    await runner.read(ticket);
    assertEquals(calls.splice(0), ["mapAsync"]);

    const done = await Array.fromAsync(pipelined(slowly(batches), submit, { signal }));
    assertEquals(done.map(({ batch }) => batch), batches);
    // Asked for and waited for, one after another.
    assert(done.every(({ dataWait }) => dataWait > 0.004 && dataWait < 5));
    // Results are read three at a time.
    const three = ["submit", "submit", "submit", "mapAsync", "mapAsync", "mapAsync"];
    assertEquals([...calls], [...three, ...three]);
  } finally {
    calls.restore();
    runner.destroy();
    variables.destroy();
    device.destroy();
  }
});

async function* slowly<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    yield item;
  }
}

/** A training step without a convolution: compiled in no time. */
function smallProgram(): Program {
  const graph = new Graph({ training: true });
  const pixels = graph.input("pixels", batchSize * 192);
  const [examples, labels] = ["examples", "labels"].map((label) => graph.input(label, batchSize * 4));
  const step = graph.input("step", STEP_BYTES);
  const format = { height: 8, width: 8, channels: 3, mean: [0, 0, 0], standardDeviation: [1, 1, 1] };
  const options = { ...format, batch: batchSize, cropPadding: 0, horizontalFlip: false };
  const images = decodeImages(graph, { ...options, pixels, examples, step });
  const logits = linear(graph, globalAveragePool(graph, "pool", images), { name: "head", outputs: 10 });
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels });
  differentiate(graph, new Map([[logits, dLogits]]), linearCombination);
  const decayScales = sgd(graph, { momentum: 0.9, weightDecay: 0, step });
  return { graph, pixels, examples, step, labels, decayScales, output: results };
}

/** Lists what is submitted, waited for and created, in order. */
function recordCalls({ handle }: GpuDevice): string[] & { restore(): void } {
  const calls: string[] = [];
  const restores: (() => void)[] = [];
  const record = <Name extends string>(owner: { [name in Name]: (...given: never[]) => unknown }, name: Name) => {
    const original = owner[name];
    const counted = function (this: unknown, ...given: never[]) {
      calls.push(name);
      return original.apply(this, given);
    };
    owner[name] = counted as typeof original;
    restores.push(() => owner[name] = original);
  };
  record(GPUQueue.prototype, "submit");
  record(GPUQueue.prototype, "onSubmittedWorkDone");
  record(GPUBuffer.prototype, "mapAsync");
  record(handle, "createBuffer");
  record(handle, "createBindGroup");
  record(handle, "createComputePipeline");
  return Object.assign(calls, { restore: () => restores.forEach((restore) => restore()) });
}
