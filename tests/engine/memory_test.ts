/** The memory that is told before a run, against the buffers that the run really makes. */
import { assert, assertEquals } from "@std/assert";
import { DatasetRegistry } from "../../src/data/mod.ts";
import { trainingMemory } from "../../src/engine/fit.ts";
import type { TrainingConfig } from "../../src/engine/messages.ts";
import { train } from "../../src/engine/training.ts";
import { GpuDevice } from "../../src/gpu/mod.ts";

const config: TrainingConfig = {
  model: { name: "lm-resnet-14" },
  dataset: "mnist",
  epochs: 1,
  batchSize: 32,
  seed: 7,
  limitTrain: 100,
  limitTest: 50,
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [],
  factor: 0.1,
  labelSmoothing: 0.1,
  cropPadding: 2,
  horizontalFlip: false,
  precision: "f32",
  evaluateEveryEpochs: 1,
  checkpointEverySteps: 0,
  checkpointsKept: 2,
  maxRetries: 0,
};

Deno.test("trainingMemory() is what a run's buffers take at their peak, within 5 %", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-memory-" });
  const device = await GpuDevice.open();
  try {
    const datasets = new DatasetRegistry(dataDir);
    const { height, width, channels, classNames } = await datasets.describe("mnist");
    const question = {
      model: config.model,
      ...{ height, width, channels },
      classes: classNames.length,
      batchSize: config.batchSize,
      precision: config.precision,
    };
    const memory = await trainingMemory({ device }, { ...question, images: { train: 100, test: 50 } });
    const { total, ...parts } = memory;
    assertEquals(total, Object.values(parts).reduce((sum, bytes) => sum + bytes));
    // 150 images that stay on the GPU, each with two words.
    assert(Math.abs(parts.images - 150 * (28 * 28 + 8)) < 100);

    const buffers = countBuffers(device);
    const job = { config, folder: "runs/a", resume: false };
    const context = { device, datasets, dataDir, releaseMemory: async () => {} };
    const never = new AbortController().signal;
    for await (const _event of train(context, job, { signal: never, pause: never }));
    const error = Math.abs(memory.total - buffers.peak) / buffers.peak;
    assert(error < 0.05, `told ${memory.total} bytes, made ${buffers.peak}`);
    assertEquals(buffers.live, 0);
    // All that was claimed has been given back.
    device.requireRoom("Everything", device.memoryBudget ?? 0);

    const withoutTail = await trainingMemory({ device }, question);
    assertEquals([withoutTail.parameters, withoutTail.activations], [memory.parameters, memory.activations]);
    assert(withoutTail.workspace < memory.workspace);
    if (device.adapter.features.includes("shader-f16")) {
      const mixed = await trainingMemory({ device }, { ...question, precision: "mixed" });
      assert(mixed.activations < 0.9 * memory.activations, "f16 saves nothing");
    }
    const averaged = await trainingMemory({ device }, { ...question, images: { train: 100, test: 50 }, emaDecay: 0.9 });
    // Weights, gradients, momentum, and a little for statistics: an average is as much as one of the first three.
    const [more, third] = [averaged.parameters - memory.parameters, memory.parameters / 3];
    assert(more > 0.9 * third && more < third, `the average takes ${more} bytes, a third of the rest is ${third}`);
    const twice = await trainingMemory({ device }, { ...question, batchSize: 64 });
    assert(twice.activations > 1.8 * memory.activations);
  } finally {
    device.destroy();
    await Deno.remove(dataDir, { recursive: true });
  }
});

/** What decides a plan's memory in another way each; their runs are ended before anything runs. */
const VARIANTS: Readonly<Record<string, Partial<TrainingConfig>>> = {
  "in mixed precision": { model: { name: "lm-resnet-8" }, precision: "mixed" },
  "of a post-activation network": { model: { name: "resnet-8", activation: "post" } },
  "of bottlenecks": { model: { name: "resnet-11-bottleneck" }, batchSize: 25 },
  "of a reversible network": { model: { name: "revnet-14" } },
  "of a grouped network": { model: { name: "lm-resnext-29-8x4d" }, batchSize: 8 },
};

for (const [name, variant] of Object.entries(VARIANTS)) {
  Deno.test(`trainingMemory() is within 5 % of what the buffers of a run ${name} take`, async () => {
    const dataDir = await Deno.makeTempDir({ prefix: "multistep-memory-" });
    const device = await GpuDevice.open();
    try {
      if (variant.precision === "mixed" && !device.adapter.features.includes("shader-f16")) return;
      const varied = { ...config, ...variant };
      const datasets = new DatasetRegistry(dataDir);
      const { height, width, channels, classNames } = await datasets.describe("mnist");
      const { model, batchSize, precision } = varied;
      const sizes = { height, width, channels, classes: classNames.length, images: { train: 100, test: 50 } };
      const memory = await trainingMemory({ device }, { model, batchSize, precision, ...sizes });
      const buffers = countBuffers(device);
      leaveOutPipelines(device);
      const context = { device, datasets, dataDir, releaseMemory: async () => {} };
      const never = new AbortController().signal;
      for await (
        const event of train(context, { config: varied, folder: "a", resume: false }, { signal: never, pause: never })
      ) {
        if (event.kind === "preparing" && event.pipelinesTotal > 0) break;
      }
      const error = Math.abs(memory.total - buffers.peak) / buffers.peak;
      assert(error < 0.05, `told ${memory.total} bytes, made ${buffers.peak}`);
      assertEquals(buffers.live, 0);
    } finally {
      device.destroy();
      await Deno.remove(dataDir, { recursive: true });
    }
  });
}

/** Bytes of the buffers that exist on a device from now on. */
function countBuffers({ handle }: GpuDevice): { live: number; peak: number } {
  const counted = { live: 0, peak: 0 };
  const createBuffer = handle.createBuffer.bind(handle);
  handle.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    counted.live += buffer.size;
    counted.peak = Math.max(counted.peak, counted.live);
    buffer.destroy = () => {
      counted.live -= buffer.size;
      destroy();
    };
    return buffer;
  };
  return counted;
}

/** Creates empty objects in place of pipelines, which take long and no buffers: nothing can be dispatched then. */
function leaveOutPipelines({ handle }: GpuDevice): void {
  handle.createShaderModule = () => ({}) as GPUShaderModule;
  handle.createComputePipeline = () => ({ getBindGroupLayout: () => ({}) }) as unknown as GPUComputePipeline;
  handle.createBindGroup = () => ({}) as GPUBindGroup;
}
