import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  CENTER_CROP,
  DatasetError,
  decodeImage,
  type PreparedBatch,
  RANDOM_RESIZED_CROP,
  StreamedFeed,
  type StreamRequest,
  type View,
} from "../../src/data/mod.ts";
import { sha256, TemporaryFolder } from "./fixtures.ts";
import { SIZE, withPictures } from "./streamed_fixture.ts";

const IMAGE_BYTES = SIZE.height * SIZE.width * SIZE.channels;
const never = new AbortController().signal;

function training(seed: number, epoch: number): View {
  return { method: "random_resized_crop", crop: RANDOM_RESIZED_CROP, seed, epoch };
}

function request(order: number[], options: Partial<StreamRequest> = {}): StreamRequest {
  const common = { batchSize: 3, size: SIZE, view: training(1, 0), inFlight: 4, depth: 2 };
  return { order: Uint32Array.from(order), ...common, ...options };
}

function feedOf(folder: TemporaryFolder, split: "train" | "test" = "train"): StreamedFeed {
  return new StreamedFeed({ dataDir: folder.join("data"), name: "pictures", split });
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

async function summaries(batches: AsyncIterable<PreparedBatch>) {
  const found: Awaited<ReturnType<typeof summary>>[] = [];
  for await (const batch of batches) found.push(await summary(batch));
  return found;
}

const ORDER = [5, 0, 13, 2, 7, 9, 1, 12, 3, 4, 11, 6, 8, 10];

Deno.test("StreamedFeed gives the same batches however many images are in flight and batches ahead", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  await using feed = feedOf(folder);
  const one = await summaries(feed.stream(request(ORDER, { inFlight: 1, depth: 1 }), never));
  assertEquals(one.map(({ indices }) => indices), [[5, 0, 13], [2, 7, 9], [1, 12, 3], [4, 11, 6], [8, 10]]);
  assertEquals(one[0].labels, [1, 0, 1]);
  for (const [inFlight, depth] of [[2, 1], [3, 4], [16, 8]]) {
    assertEquals(await summaries(feed.stream(request(ORDER, { inFlight, depth }), never)), one);
  }
  // Another batch size: the same images.
  const pixels = async (batchSize: number) => {
    let all = "";
    for await (const batch of feed.stream(request(ORDER, { batchSize }), never)) {
      all += batch.pixels.subarray(0, batch.indices.length * IMAGE_BYTES).toHex();
    }
    return all;
  };
  assertEquals(await pixels(1), await pixels(14));
});

Deno.test("StreamedFeed crops anew each epoch and by each seed", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 2);
  await using feed = feedOf(folder);
  const seen = new Set<string>();
  for (const view of [training(1, 0), training(1, 1), training(2, 0), CENTER_CROP]) {
    for (const { pixels } of await summaries(feed.stream(request([0, 1], { view }), never))) seen.add(pixels);
  }
  assertEquals(seen.size, 4);
});

Deno.test("StreamedFeed goes on in the middle of an epoch as if it had never stopped", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  const whole = await (async () => {
    await using feed = feedOf(folder);
    return await summaries(feed.stream(request(ORDER), never));
  })();
  for (const done of [1, 3]) {
    await using feed = feedOf(folder);
    assertEquals(await summaries(feed.stream(request(ORDER.slice(3 * done)), never)), whole.slice(done));
  }
});

Deno.test("StreamedFeed prepares images for evaluation as inference does", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 1);
  await using test = await registry.openStreamed("pictures", "test");
  await using feed = feedOf(folder, "test");
  for (const view of [CENTER_CROP, { method: "stretch" }] as const) {
    for await (const { indices, pixels } of feed.stream(request([0, 1, 2, 3], { view, batchSize: 1 }), never)) {
      const expected = await decodeImage(await test.read(indices[0]), SIZE, view);
      assertEquals(pixels.slice(0, IMAGE_BYTES), expected);
    }
  }
});

Deno.test("StreamedFeed holds no more batches than it was told, and takes none while they are used", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  await using feed = feedOf(folder);
  const buffers = new Set<ArrayBuffer>();
  let batches = 0;
  for await (const { pixels } of feed.stream(request(ORDER, { batchSize: 1, depth: 3 }), never)) {
    buffers.add(pixels.buffer);
    batches++;
    // Time to fall behind.
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(pixels.length, IMAGE_BYTES);
  }
  assertEquals(batches, ORDER.length);
  // Those given back are empty here: they have gone to the other thread.
  assert([...buffers].every((buffer) => buffer.byteLength === 0));
});

Deno.test("StreamedFeed leaves a stream that is abandoned, aborted or replaced", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  await using feed = feedOf(folder);
  const whole = await summaries(feed.stream(request(ORDER), never));

  for await (const _batch of feed.stream(request(ORDER), never)) break;
  assertEquals(await summaries(feed.stream(request(ORDER), never)), whole);

  class Stopped extends Error {}
  const controller = new AbortController();
  const aborted = feed.stream(request(ORDER, { batchSize: 1 }), controller.signal);
  await aborted.next();
  controller.abort(new Stopped());
  await assertRejects(() => aborted.next(), Stopped);
  assertEquals(await summaries(feed.stream(request(ORDER), never)), whole);

  const replaced = feed.stream(request(ORDER, { batchSize: 1 }), never);
  await replaced.next();
  assertEquals(await summaries(feed.stream(request(ORDER), never)), whole);
  await assertRejects(() => replaced.next(), Error, "Cannot go on with a stream: another one was begun");
});

Deno.test("StreamedFeed fails with the name of the image that is damaged, after the batches before it", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 7);
  await using train = await registry.openStreamed("pictures", "train");
  const { offset, nameBytes, imageBytes } = train.record(9);
  const path = folder.join("data/datasets/pictures/train.records");
  const records = await Deno.readFile(path);
  records.fill(0, offset + nameBytes + (imageBytes >> 1), offset + nameBytes + imageBytes);
  await Deno.writeFile(path, records);

  await using feed = feedOf(folder);
  const batches = feed.stream(request(ORDER), never);
  assertEquals((await batches.next()).value?.indices, Uint32Array.of(5, 0, 13));
  const error = await assertRejects(() => batches.next(), DatasetError);
  assertEquals(error.kind, "damaged");
  assert(
    error.message.includes('image 9 of train.records, imported as "train/dog/0004.jpg": its checksum'),
    error.message,
  );
});

Deno.test("StreamedFeed of a data set that is not there, or not streamed, says so", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 1);
  await registry.import("packed", folder.join("pictures"), SIZE);
  for (const [name, problem] of [["none", 'Cannot find data set "none"'], ["packed", "it is packed"]]) {
    await using feed = new StreamedFeed({ dataDir: folder.join("data"), name, split: "train" });
    const error = await assertRejects(() => feed.stream(request([0]), never).next(), Error);
    assert(error.message.includes(problem), error.message);
  }
});
