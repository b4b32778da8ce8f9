/** Batch sizes of inference: which is taken, and what happens where one does not fit. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatasetRegistry } from "../../src/data/mod.ts";
import { bucketFor, InferenceService } from "../../src/engine/inference.ts";
import { GpuDevice, type Variable } from "../../src/gpu/mod.ts";
import { encodeCheckpoint, initialValues, type NamedTensor } from "../../src/models/mod.ts";
import { inferenceProgram } from "../../src/engine/programs.ts";

Deno.test("bucketFor() wastes no more than half a batch", () => {
  const buckets = [1, 4, 16, 64, 256];
  const chosen = [1, 2, 3, 5, 7, 8, 16, 17, 32, 64, 65, 127, 128, 256, 300].map((left) => bucketFor(buckets, left));
  assertEquals(chosen, [1, 4, 4, 4, 4, 16, 16, 16, 64, 64, 64, 64, 256, 256, 256]);
  assertEquals(bucketFor([1, 4], 100), 4);
});

/** A checkpoint with initial values, always in the same file. */
async function writeInitialCheckpoint(dataDir: string, seed = 1): Promise<{ path: string; imageBytes: number }> {
  const dataset = await new DatasetRegistry(dataDir).describe("mnist");
  const { height, width, channels, classNames } = dataset;
  const model = { name: "lm-resnet-14" };
  const { graph } = inferenceProgram({ model, images: dataset, classes: classNames.length }, 1);
  const tensors = (variables: readonly Variable[]) => {
    const values = initialValues(variables, seed);
    return new Map(variables.map(({ tensor: { name, shape } }): [string, NamedTensor] => {
      return [name, { shape, data: values.get(name)! }];
    }));
  };
  const checkpoint = {
    model,
    dataset,
    position: { seed: 1, epoch: 0, stepInEpoch: 0, step: 0 },
    configuration: {},
    parameters: tensors(graph.parameters),
    states: tensors(graph.states),
    velocities: new Map(),
  };
  await Deno.writeFile(`${dataDir}/initial.safetensors`, encodeCheckpoint(checkpoint));
  return { path: "initial.safetensors", imageBytes: height * width * channels };
}

Deno.test("InferenceService computes in smaller batches where a large one does not fit, and stops between batches", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-inference-" });
  const device = await GpuDevice.open();
  // 64 images of 28x28 in 16 channels with their borders are 4 MB.
  Object.defineProperty(device, "target", { value: { ...device.target, maxStorageBindingBytes: 8 * 2 ** 20 } });
  try {
    const { path, imageBytes } = await writeInitialCheckpoint(dataDir);
    const service = new InferenceService({
      device,
      datasets: new DatasetRegistry(dataDir),
      dataDir,
      releaseMemory: async () => {},
    });
    const pixels = Uint8Array.from({ length: 128 * imageBytes }, (_, i) => i % 251);
    const job = { checkpoint: path, pixels, images: 128 };
    const { probabilities } = await service.infer(job, new AbortController().signal);
    const half = { ...job, pixels: pixels.subarray(64 * imageBytes), images: 64 };
    const { probabilities: second } = await service.infer(half, new AbortController().signal);
    assertEquals(probabilities.subarray(640), second);
    const sum = probabilities.subarray(0, 10).reduce((a, b) => a + b, 0);
    assert(Math.abs(sum - 1) < 1e-5);

    const abort = new AbortController();
    let batches = 0;
    const { queue } = device.handle;
    const submit = queue.submit.bind(queue);
    queue.submit = (commands) => {
      if (++batches === 1) abort.abort(new Error("enough"));
      return submit(commands);
    };
    await assertRejects(() => service.infer(job, abort.signal), Error, "enough");
    assertEquals(batches, 1);
  } finally {
    device.destroy();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("InferenceService reads a checkpoint again when its file was replaced", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-inference-" });
  const device = await GpuDevice.open();
  try {
    const { path, imageBytes } = await writeInitialCheckpoint(dataDir);
    const context = { device, datasets: new DatasetRegistry(dataDir), dataDir, releaseMemory: async () => {} };
    const service = new InferenceService(context);
    const job = { checkpoint: path, pixels: new Uint8Array(imageBytes).fill(99), images: 1 };
    const infer = async () => (await service.infer(job, new AbortController().signal)).probabilities;
    const before = await infer();
    assertEquals(await infer(), before);
    await writeInitialCheckpoint(dataDir, 2);
    assert(String(await infer()) !== String(before), "the file before was used");
    await writeInitialCheckpoint(dataDir, 1);
    assertEquals(await infer(), before);
  } finally {
    device.destroy();
    await Deno.remove(dataDir, { recursive: true });
  }
});
