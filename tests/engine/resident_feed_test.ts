/** Images that stay on the GPU, against the same images sent batch by batch. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatasetRegistry } from "../../src/data/mod.ts";
import { ALL_BATCHES, HostFeed } from "../../src/engine/batch_feed.ts";
import { readCheckpoint } from "../../src/engine/checkpoint_files.ts";
import { openFeeds } from "../../src/engine/feeds.ts";
import { planTraining } from "../../src/engine/fit.ts";
import { memoryOf } from "../../src/engine/memory.ts";
import { EngineError, type TrainingConfig, type TrainingEvent } from "../../src/engine/messages.ts";
import type { Program } from "../../src/engine/programs.ts";
import { ResidentFeed } from "../../src/engine/resident_feed.ts";
import { planProgram, Runner } from "../../src/engine/runner.ts";
import { train } from "../../src/engine/training.ts";
import {
  type BufferHandle,
  decodeImages,
  globalAveragePool,
  GpuDevice,
  GpuError,
  Graph,
  linear,
  ReadBackRing,
  softmaxCrossEntropy,
  STEP_BYTES,
  type Target,
  Variables,
} from "../../src/gpu/mod.ts";
import { smallConfig } from "../support/small_training.ts";

const never = new AbortController().signal;

interface Case {
  readonly count: number;
  readonly batchSize: number;
  readonly size: { readonly height: number; readonly width: number; readonly channels: 1 | 3 };
  /** What an adapter could bind at once. */
  readonly partBytes: number;
}

const cases: Case[] = [
  { count: 21, batchSize: 4, size: { height: 4, width: 4, channels: 3 }, partBytes: 2 ** 20 },
  { count: 21, batchSize: 8, size: { height: 4, width: 4, channels: 3 }, partBytes: 160 },
  // Images whose bytes are no whole words, in parts whose bytes are none either.
  { count: 23, batchSize: 5, size: { height: 5, width: 5, channels: 3 }, partBytes: 512 },
  { count: 10, batchSize: 10, size: { height: 3, width: 3, channels: 1 }, partBytes: 32 },
  { count: 9, batchSize: 4, size: { height: 1, width: 1, channels: 1 }, partBytes: 16 },
];

Deno.test("ResidentFeed puts on the GPU what HostFeed sends there, byte for byte", async (t) => {
  const device = await GpuDevice.open();
  const { target } = device;
  try {
    for (const { count, batchSize, size, partBytes } of cases) {
      (device as { target: Target }).target = { ...target, maxStorageBindingBytes: partBytes };
      const what = `${count} images of ${size.height}x${size.width}x${size.channels}, ${partBytes} bytes a buffer`;
      await t.step(what, async () => {
        const imageBytes = size.height * size.width * size.channels;
        const images = randomImages(count, imageBytes);
        const taker = { program: program(batchSize, size), target, imageBytes };
        const shuffled = {
          resident: await ResidentFeed.shuffled(device, images, { batchSize, seed: 7 }),
          host: HostFeed.shuffled(images, { batchSize, seed: 7 }),
        };
        await compareFeeds(device, taker, { ...shuffled, epochs: [0, 3] });
        const inOrder = {
          resident: await ResidentFeed.sequential(device, images, { batchSize }),
          host: HostFeed.sequential(images, { batchSize }),
        };
        await compareFeeds(device, taker, { ...inOrder, epochs: [0] });
      });
    }
  } finally {
    device.destroy();
  }
});

type BatchProgram = Program & { readonly labels: BufferHandle };

async function compareFeeds(
  device: GpuDevice,
  { program, target, imageBytes }: { program: BatchProgram; target: Target; imageBytes: number },
  { resident, host, epochs }: { resident: ResidentFeed; host: HostFeed; epochs: number[] },
): Promise<void> {
  const adapter = { adapter: device.adapter, target, memoryBudget: device.memoryBudget };
  const plan = await planProgram({ device: adapter }, program);
  const variables = new Variables(device, plan);
  const runner = await Runner.create(device, program, { plan, variables });
  try {
    await resident.connect(runner);
    const read = (input: BufferHandle) => readBytes(device, runner.execution.input(input));
    for (const epoch of epochs) {
      const expected = await Array.fromAsync(host.batches(epoch, ALL_BATCHES, never));
      let index = 0;
      for await (const batch of resident.batches(epoch, ALL_BATCHES, never)) {
        const { count, pixels, labels, examples } = expected[index++];
        assertEquals(batch.count, count);
        await runner.read(runner.submit(batch, { learningRate: 0, seed: 0, epoch, step: 0 }));
        const pixelBytes = count * imageBytes;
        assertEquals((await read(program.pixels)).subarray(0, pixelBytes), pixels.subarray(0, pixelBytes));
        assertEquals(words(await read(program.examples)).subarray(0, count), examples.subarray(0, count));
        assertEquals(words(await read(program.labels)).subarray(0, labels.length), labels);
      }
      assertEquals(index, expected.length);
    }
    device.check();
  } finally {
    runner.destroy();
    variables.destroy();
    resident.destroy();
  }
}

function randomImages(count: number, imageBytes: number) {
  const pixels = crypto.getRandomValues(new Uint8Array(count * imageBytes));
  return { count, pixels, labels: Uint32Array.from({ length: count }, (_, i) => (i * 7) % 10) };
}

/** Takes a batch of images and labels. */
function program(batch: number, size: Case["size"]): BatchProgram {
  const graph = new Graph({ training: false });
  const pixels = graph.input("pixels", batch * size.height * size.width * size.channels);
  const [examples, labels] = ["examples", "labels"].map((label) => graph.input(label, batch * 4));
  const step = graph.input("step", STEP_BYTES);
  const perChannel = (value: number) => Array.from({ length: size.channels }, () => value);
  const format = { ...size, mean: perChannel(0), standardDeviation: perChannel(1) };
  const options = { ...format, batch, cropPadding: 0, horizontalFlip: false };
  const images = decodeImages(graph, { ...options, pixels, examples, step });
  const logits = linear(graph, globalAveragePool(graph, "pool", images), { name: "head", outputs: 10 });
  return { graph, pixels, examples, step, labels, output: softmaxCrossEntropy(graph, logits, { labels }).results };
}

async function readBytes(device: GpuDevice, buffer: GPUBuffer): Promise<Uint8Array> {
  const ring = await ReadBackRing.create(device, { bytes: buffer.size, depth: 1 });
  try {
    const encoder = device.handle.createCommandEncoder();
    const ticket = ring.copy(encoder, buffer, buffer.size);
    device.handle.queue.submit([encoder.finish()]);
    return new Uint8Array(await ring.read(ticket));
  } finally {
    ring.destroy();
  }
}

function words(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}

Deno.test("a step on resident images sends 40 bytes, in one submit", async () => {
  const device = await GpuDevice.open();
  const taker = program(8, { height: 4, width: 4, channels: 3 });
  const plan = await planProgram({ device }, taker);
  const variables = new Variables(device, plan);
  const runner = await Runner.create(device, taker, { plan, variables });
  const feed = await ResidentFeed.sequential(device, randomImages(20, 48), { batchSize: 8 });
  try {
    await feed.connect(runner);
    const [first, second] = await Array.fromAsync(feed.batches(0, ALL_BATCHES, never));
    await runner.read(runner.submit(first, { learningRate: 0, seed: 0, epoch: 0, step: 0 }));
    const { queue } = device.handle;
    const [writeBuffer, submit] = [queue.writeBuffer.bind(queue), queue.submit.bind(queue)];
    let [bytes, submits] = [0, 0];
    queue.writeBuffer = (...given) => {
      bytes += given[2].byteLength;
      writeBuffer(...given);
    };
    queue.submit = (commands) => {
      submits++;
      submit(commands);
    };
    await runner.read(runner.submit(second, { learningRate: 0, seed: 0, epoch: 0, step: 0 }));
    assertEquals({ bytes, submits }, { bytes: 40, submits: 1 });
  } finally {
    feed.destroy();
    runner.destroy();
    variables.destroy();
    device.destroy();
  }
});

Deno.test("a training gives the same bits wherever its images lie", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-resident-" });
  const device = await GpuDevice.open();
  try {
    const context = { device, datasets: new DatasetRegistry(dataDir), dataDir, releaseMemory: async () => {} };
    const run = async (dataPath: TrainingConfig["dataPath"]) => {
      const job = { config: { ...smallConfig, epochs: 2, dataPath }, folder: `runs/${dataPath}`, resume: false };
      const told: TrainingEvent[] = await Array.fromAsync(train(context, job, { signal: never, pause: never }));
      const metrics = told.flatMap((event) => "metrics" in event ? event.metrics : []);
      const last = told.findLast((event) => event.kind === "checkpoint")?.checkpoint.path ?? "";
      const { parameters, states, velocities } = await readCheckpoint(dataDir, last);
      return { metrics, parameters, states, velocities };
    };
    const [resident, host] = [await run("resident"), await run("host")];
    assertEquals(resident.metrics.length, 14);
    assertEquals(resident, host);
    // All that was claimed has been given back.
    device.requireRoom("Everything", device.memoryBudget ?? 0);
  } finally {
    device.destroy();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("openFeeds() lets images travel where a GPU of unknown memory refuses them, unless they are to stay", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-resident-" });
  try {
    const datasets = new DatasetRegistry(dataDir);
    const dataset = await datasets.describe("mnist");
    const target = { maxStorageBindingBytes: 2 ** 20 } as Target;
    const open = (memoryBudget: number | undefined, dataPath: TrainingConfig["dataPath"]) => {
      const allocate = () => Promise.reject(new GpuError("out-of-memory", "The GPU is out of memory"));
      const device = { target, memoryBudget, allocate } as unknown as GpuDevice;
      const context = { device, datasets, dataDir, releaseMemory: async () => {} };
      return openFeeds(context, { ...smallConfig, dataPath }, {
        dataset,
        plans: { imageBytes: 1, evaluationBatch: 8 },
      });
    };
    assert((await open(undefined, "auto")).train instanceof HostFeed);
    await assertRejects(() => open(undefined, "resident"), GpuError, "out of memory");
    await assertRejects(() => open(2 ** 30, "auto"), GpuError, "out of memory");
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("planTraining() keeps images on the GPU where they fit, and refuses where they are to stay and do not", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-resident-" });
  const device = await GpuDevice.open();
  try {
    const dataset = await new DatasetRegistry(dataDir).describe("mnist");
    const { adapter, target } = device;
    const config = { ...smallConfig, limitTrain: undefined, limitTest: undefined };
    const plan = (memoryBudget: number | undefined, dataPath: TrainingConfig["dataPath"]) =>
      planTraining({ device: { adapter, target, memoryBudget } }, { ...config, dataPath }, {
        dataset,
        interlude: async () => {},
      });
    // Pixels, and two words an image.
    const bytes = (dataset.images.train + dataset.images.test) * (28 * 28 + 8);
    const plans = await plan(undefined, undefined);
    const kept = plans.imageBytes;
    const budget = memoryOf(plans).total;
    assert(kept >= bytes && kept < bytes + 1024, `${kept} bytes kept of ${bytes}`);
    assertEquals((await plan(budget, "auto")).imageBytes, kept);
    assertEquals((await plan(budget, "resident")).imageBytes, kept);
    assertEquals((await plan(budget, "host")).imageBytes, 0);
    assertEquals((await plan(budget - 1, "auto")).imageBytes, 0);
    const error = await assertRejects(() => plan(budget - 1, "resident"), EngineError);
    assertEquals(error.kind, "exhausted");
    assert(
      /^Cannot keep the images of mnist in GPU memory: they need .* use data path auto or host$/.test(error.message),
    );
  } finally {
    device.destroy();
    await Deno.remove(dataDir, { recursive: true });
  }
});
