import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  BatchPreparer,
  CENTER_CROP,
  DatasetError,
  decodeImage,
  type PreparedBatch,
  type PreparedStream,
  RANDOM_RESIZED_CROP,
  type StreamRequest,
  type View,
} from "../../src/data/mod.ts";
import { BufferPool, PoolClosedError } from "../../src/data/streaming/buffer_pool.ts";
import { prepareBatches } from "../../src/data/streaming/prepared_batches.ts";
import { sha256, TemporaryFolder } from "./fixtures.ts";
import { picture, SIZE, withPictures } from "./streamed_fixture.ts";

const IMAGE_BYTES = SIZE.height * SIZE.width * SIZE.channels;
const never = new AbortController().signal;

function training(seed: number, epoch: number): View {
  return { method: "random_resized_crop", crop: RANDOM_RESIZED_CROP, seed, epoch };
}

function request(order: number[], options: Partial<StreamRequest> = {}): StreamRequest {
  const common = { batchSize: 3, size: SIZE, view: training(1, 0), inFlight: 4, depth: 2 };
  return { order: Uint32Array.from(order), ...common, ...options };
}

function preparerOf(folder: TemporaryFolder, split: "train" | "test" = "train"): BatchPreparer {
  return new BatchPreparer({ dataDir: folder.join("data"), name: "pictures", split });
}

/** What is left of a batch once its buffer is another's. */
async function summary({ indices, labels, pixels }: PreparedBatch) {
  const count = indices.length;
  return {
    indices: Array.from(indices),
    labels: Array.from(labels),
    pixels: await sha256(pixels.subarray(0, count * IMAGE_BYTES)),
  };
}

/** Every batch that is left. */
async function* batchesOf(stream: PreparedStream): AsyncGenerator<PreparedBatch> {
  for (let batch = await stream.next(never); batch; batch = await stream.next(never)) yield batch;
}

async function summaries(stream: PreparedStream) {
  const found: Awaited<ReturnType<typeof summary>>[] = [];
  for await (const batch of batchesOf(stream)) found.push(await summary(batch));
  return found;
}

const ORDER = [5, 0, 13, 2, 7, 9, 1, 12, 3, 4, 11, 6, 8, 10];

Deno.test("BatchPreparer gives the same batches however many images are in flight and batches ahead", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  await using preparer = preparerOf(folder);
  const one = await summaries(preparer.start(request(ORDER, { inFlight: 1, depth: 1 })));
  assertEquals(one.map(({ indices }) => indices), [[5, 0, 13], [2, 7, 9], [1, 12, 3], [4, 11, 6], [8, 10]]);
  assertEquals(one[0].labels, [1, 0, 1]);
  for (const [inFlight, depth] of [[2, 1], [3, 4], [16, 8]]) {
    assertEquals(await summaries(preparer.start(request(ORDER, { inFlight, depth }))), one);
  }
  // Another batch size: the same images.
  const pixels = async (batchSize: number) => {
    let all = "";
    for await (const batch of batchesOf(preparer.start(request(ORDER, { batchSize })))) {
      all += batch.pixels.subarray(0, batch.indices.length * IMAGE_BYTES).toHex();
    }
    return all;
  };
  assertEquals(await pixels(1), await pixels(14));
});

Deno.test("BatchPreparer crops anew each epoch and by each seed", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 2);
  await using preparer = preparerOf(folder);
  const seen = new Set<string>();
  for (const view of [training(1, 0), training(1, 1), training(2, 0), CENTER_CROP]) {
    for (const { pixels } of await summaries(preparer.start(request([0, 1], { view })))) seen.add(pixels);
  }
  assertEquals(seen.size, 4);
});

Deno.test("BatchPreparer goes on in the middle of an epoch as if it had never stopped", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  const whole = await (async () => {
    await using preparer = preparerOf(folder);
    return await summaries(preparer.start(request(ORDER)));
  })();
  for (const done of [1, 3]) {
    await using preparer = preparerOf(folder);
    assertEquals(await summaries(preparer.start(request(ORDER.slice(3 * done)))), whole.slice(done));
  }
});

Deno.test("BatchPreparer prepares images for evaluation as inference does", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 1);
  await using test = await registry.openStreamed("pictures", "test");
  await using preparer = preparerOf(folder, "test");
  for (const view of [CENTER_CROP, { method: "stretch" }] as const) {
    for await (const { indices, pixels } of batchesOf(preparer.start(request([0, 1, 2, 3], { view, batchSize: 1 })))) {
      const expected = await decodeImage(await test.read(indices[0]), SIZE, view);
      assertEquals(pixels.slice(0, IMAGE_BYTES), expected);
    }
  }
});

Deno.test("BatchPreparer uses a few buffers again and again", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  await using preparer = preparerOf(folder);
  const buffers: ArrayBuffer[] = [];
  for await (const { pixels } of batchesOf(preparer.start(request(ORDER, { batchSize: 1, depth: 3 })))) {
    assertEquals(pixels.length, IMAGE_BYTES);
    buffers.push(pixels.buffer);
  }
  assertEquals(buffers.length, ORDER.length);
  // Those given back are empty here: they have gone to the other thread.
  assert(buffers.every((buffer) => buffer.byteLength === 0));
});

Deno.test("prepareBatches() works on so many images at a time, and so many batches ahead of whoever takes them", async () => {
  const file = await picture(0, { width: 20, height: 16 });
  let [reading, most, reads] = [0, 0, 0];
  const split = {
    record: (index: number) => ({
      ...{ offset: 0, nameBytes: 0, imageBytes: file.length, checksum: 0 },
      ...{ label: index % 3, height: 16, width: 20 },
    }),
    read: async () => {
      reads++;
      most = Math.max(most, ++reading);
      await new Promise((resolve) => setTimeout(resolve, 1));
      reading--;
      return file;
    },
    damaged: () => Promise.reject(new Error("unused")),
  };
  using buffers = new BufferPool(4 * IMAGE_BYTES, 3);
  const order = Array.from({ length: 20 }, (_, batch) => Uint32Array.of(4 * batch, 4 * batch + 1, 4 * batch + 2));
  const batches = prepareBatches(split, order, { size: SIZE, view: CENTER_CROP, inFlight: 2, ahead: 3, buffers });
  const quiet = () => new Promise((resolve) => setTimeout(resolve, 60));
  const first = await batches.next();
  await quiet();
  assertEquals([reads, most], [9, 2]);
  assertEquals(first.value?.labels, Uint32Array.of(0, 1, 2));
  if (first.value) buffers.give(first.value.pixels);
  await batches.next();
  await quiet();
  assertEquals([reads, most], [12, 2]);
  buffers[Symbol.dispose]();
  await assertRejects(async () => {
    for await (const _batch of batches);
  }, PoolClosedError);
});

Deno.test("BatchPreparer leaves a stream that is abandoned, aborted or replaced", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  await using preparer = preparerOf(folder);
  const whole = await summaries(preparer.start(request(ORDER)));

  const abandoned = preparer.start(request(ORDER));
  await abandoned.next(never);
  preparer.stop();
  await assertRejects(() => abandoned.next(never), Error, "Cannot take a batch of a stream that was left");
  assertEquals(await summaries(preparer.start(request(ORDER))), whole);

  class Stopped extends Error {}
  const controller = new AbortController();
  const aborted = preparer.start(request(ORDER));
  await aborted.next(controller.signal);
  controller.abort(new Stopped());
  await assertRejects(() => aborted.next(controller.signal), Stopped);
  assertEquals(await summaries(preparer.start(request(ORDER))), whole);

  const replaced = preparer.start(request(ORDER, { batchSize: 1 }));
  await replaced.next(never);
  assertEquals(await summaries(preparer.start(request(ORDER))), whole);
  await assertRejects(() => replaced.next(never), Error, "Cannot take a batch of a stream that was left");
});

Deno.test("BatchPreparer fails with the name of the image that is damaged, after the batches before it", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 7);
  await using train = await registry.openStreamed("pictures", "train");
  const { offset, nameBytes, imageBytes } = train.record(9);
  const path = folder.join("data/datasets/pictures/train.records");
  const records = await Deno.readFile(path);
  records.fill(0, offset + nameBytes + (imageBytes >> 1), offset + nameBytes + imageBytes);
  await Deno.writeFile(path, records);

  await using preparer = preparerOf(folder);
  const batches = preparer.start(request(ORDER));
  assertEquals((await batches.next(never))?.indices, Uint32Array.of(5, 0, 13));
  const error = await assertRejects(() => batches.next(never), DatasetError);
  assertEquals(error.kind, "damaged");
  assert(
    error.message.includes('image 9 of train.records, imported as "train/dog/0004.jpg": its checksum'),
    error.message,
  );
});

Deno.test("BatchPreparer of a data set that is not there, or not streamed, says so", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 1);
  await registry.import("packed", folder.join("pictures"), SIZE);
  for (const [name, problem] of [["none", 'Cannot find data set "none"'], ["packed", "it is packed"]]) {
    await using preparer = new BatchPreparer({ dataDir: folder.join("data"), name, split: "train" });
    const error = await assertRejects(() => preparer.start(request([0])).next(never), Error);
    assert(error.message.includes(problem), error.message);
  }
});
