/** Batches of image files, and training on them. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { CENTER_CROP, decodeImage, RANDOM_RESIZED_CROP } from "../../src/data/mod.ts";
import { ALL_BATCHES, type BatchFeed } from "../../src/engine/batch_feed.ts";
import type { HostBatch } from "../../src/engine/batches.ts";
import { readCheckpoint } from "../../src/engine/checkpoint_files.ts";
import type { EngineContext } from "../../src/engine/context.ts";
import { evaluate } from "../../src/engine/evaluation.ts";
import { planTraining, sizedFor } from "../../src/engine/fit.ts";
import { InferenceService } from "../../src/engine/inference.ts";
import { EngineError, type TrainingConfig, type TrainingEvent } from "../../src/engine/messages.ts";
import { StreamedFeed, type TrainingStream } from "../../src/engine/streamed_feed.ts";
import { train } from "../../src/engine/training.ts";
import { GpuDevice, IGNORED_LABEL } from "../../src/gpu/mod.ts";
import { sha256, TemporaryFolder } from "../data/fixtures.ts";
import { SIZE, withPictures } from "../data/streamed_fixture.ts";
import { smallConfig } from "../support/small_training.ts";

const never = new AbortController().signal;

interface Summary {
  readonly count: number;
  readonly examples: readonly number[];
  readonly labels: readonly number[];
  readonly pixels: string;
}

/** What is left of batches once their buffers are others'. */
async function summaries(
  feed: BatchFeed<HostBatch>,
  { epoch = 0, range = ALL_BATCHES }: { epoch?: number; range?: { start: number; count: number } } = {},
): Promise<Summary[]> {
  const found: Summary[] = [];
  for await (const { count, examples, labels, pixels } of feed.batches(epoch, range, never)) {
    const seen = pixels.subarray(0, count * SIZE.height * SIZE.width * SIZE.channels);
    found.push({ count, examples: Array.from(examples), labels: Array.from(labels), pixels: await sha256(seen) });
  }
  return found;
}

const stream: TrainingStream = {
  size: SIZE,
  count: 14,
  batchSize: 4,
  seed: 3,
  epochs: 4,
  crop: RANDOM_RESIZED_CROP,
  preprocessing: CENTER_CROP,
};

Deno.test("StreamedFeed.shuffled() makes each epoch a permutation of its own", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  const source = { dataDir: folder.join("data"), name: "pictures", split: "train" } as const;
  for (
    const { count, batchSize } of [{ count: 14, batchSize: 4 }, { count: 11, batchSize: 11 }, {
      count: 5,
      batchSize: 2,
    }]
  ) {
    const feed = StreamedFeed.shuffled(source, { ...stream, count, batchSize });
    const orders: string[] = [];
    for (const epoch of [0, 1, 2]) {
      const batches = await summaries(feed, { epoch });
      assertEquals(batches.map((batch) => batch.count).slice(0, -1), Array(batches.length - 1).fill(batchSize));
      const order = batches.flatMap(({ examples }) => examples);
      assertEquals(order.toSorted((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
      assertEquals(batches.flatMap(({ labels }) => labels), order.map((index) => index % 2));
      orders.push(order.join());
    }
    assertEquals(new Set(orders).size, 3);
    feed.destroy();
  }
});

Deno.test("StreamedFeed gives the same batches in parts, in a new feed, and after it was left", async () => {
  await using folder = await TemporaryFolder.create();
  await withPictures(folder, 7);
  const source = { dataDir: folder.join("data"), name: "pictures", split: "train" } as const;
  const feed = StreamedFeed.shuffled(source, stream);
  const whole = await summaries(feed);
  assertEquals(whole.map(({ count }) => count), [4, 4, 4, 2]);
  const parts = [{ start: 0, count: 1 }, { start: 1, count: 2 }, { start: 3, count: 9 }, { start: 4, count: 1 }];
  const inParts: Summary[] = [];
  for (const range of parts) inParts.push(...await summaries(feed, { range }));
  assertEquals(inParts, whole);
  for await (const _batch of feed.batches(1, ALL_BATCHES, never)) break;
  assertEquals(await summaries(feed), whole);
  const resumed = StreamedFeed.shuffled(source, stream);
  resumed.begin(0, 2);
  assertEquals(await summaries(resumed, { range: { start: 2, count: Infinity } }), whole.slice(2));
  const other = StreamedFeed.shuffled(source, { ...stream, seed: 4 });
  assert((await summaries(other))[0].pixels !== whole[0].pixels);
  for (const each of [feed, resumed, other]) each.destroy();
});

Deno.test("StreamedFeed.sequential() prepares a split in order and fills its last batch up", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 1);
  await using test = await registry.openStreamed("pictures", "test");
  const feed = StreamedFeed.sequential(
    { dataDir: folder.join("data"), name: "pictures", split: "test" },
    { size: SIZE, preprocessing: CENTER_CROP, count: 4, batchSize: 3 },
  );
  const batches = await summaries(feed);
  assertEquals(batches.map(({ count }) => count), [3, 1]);
  assertEquals(batches.map(({ labels }) => labels), [[0, 1, 0], [1, IGNORED_LABEL, IGNORED_LABEL]]);
  assertEquals(batches.map(({ examples }) => examples), [[0, 1, 2], [3, 0, 0]]);
  assertEquals(batches[1].pixels, await sha256(await decodeImage(await test.read(3), SIZE, CENTER_CROP)));
  feed.destroy();
});

Deno.test("StreamedFeed gives the GPU whole words, and grey images where they are asked for", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 4);
  await using train = await registry.openStreamed("pictures", "train");
  const size = { height: 5, width: 5, channels: 1 } as const;
  const source = { dataDir: folder.join("data"), name: "pictures", split: "train" } as const;
  const feed = StreamedFeed.shuffled(source, { ...stream, size, count: 8, batchSize: 3, epochs: 1, crop: "off" });
  const lengths: number[] = [];
  for await (const { pixels, examples } of feed.batches(0, ALL_BATCHES, never)) {
    lengths.push(pixels.length);
    assertEquals(pixels.slice(0, 25), await decodeImage(await train.read(examples[0]), size, CENTER_CROP));
  }
  assertEquals(lengths, [76, 76, 52]);
  feed.destroy();
});

const config: TrainingConfig = {
  ...smallConfig,
  dataset: "pictures",
  epochs: 2,
  batchSize: 4,
  limitTrain: undefined,
  limitTest: undefined,
  cropPadding: 0,
  randomResizedCrop: RANDOM_RESIZED_CROP,
};

async function withContext(run: (context: EngineContext, folder: TemporaryFolder) => Promise<void>): Promise<void> {
  await using folder = await TemporaryFolder.create();
  const datasets = await withPictures(folder, 5);
  const device = await GpuDevice.open();
  try {
    await run({ device, datasets, dataDir: folder.join("data"), releaseMemory: async () => {} }, folder);
  } finally {
    device.destroy();
  }
}

function valuesOf(events: readonly TrainingEvent[]) {
  return events.flatMap((event) => "metrics" in event ? [{ step: event.step, ...event.metrics }] : []);
}

Deno.test("a run on streamed images repeats itself bit for bit, paused within an epoch or not", async () => {
  await withContext(async (context) => {
    const { dataDir } = context;
    const start = (folder: string, resume: boolean, pause = never) =>
      train(context, { config: { ...config, checkpointEverySteps: 2 }, folder, resume }, { signal: never, pause });
    const whole = await Array.fromAsync(start("runs/whole", false));
    // Three steps an epoch, the last of two images.
    assertEquals(whole.flatMap((event) => event.kind === "progress" ? [event.metrics.images] : []), [4, 4, 2, 4, 4, 2]);

    const pause = new AbortController();
    const told: TrainingEvent[] = [];
    for await (const event of start("runs/parts", false, pause.signal)) {
      told.push(event);
      if (event.kind === "progress" && event.step === 1) pause.abort();
    }
    assertEquals(told.at(-1)?.kind, "paused");
    told.push(...await Array.fromAsync(start("runs/parts", true)));
    assertEquals(valuesOf(told), valuesOf(whole));

    const last = (events: readonly TrainingEvent[]) =>
      events.findLast((event) => event.kind === "checkpoint")?.checkpoint.path ?? "";
    const [expected, found] = [await readCheckpoint(dataDir, last(whole)), await readCheckpoint(dataDir, last(told))];
    assertEquals(found.parameters, expected.parameters);
    assertEquals(found.dataset.preprocessing, CENTER_CROP);
  });
});

Deno.test("evaluation and inference prepare images as the run's own evaluation did", async () => {
  await withContext(async (context, folder) => {
    const { datasets } = context;
    const job = { config: { ...config, epochs: 1 }, folder: "runs/one", resume: false };
    const told = await Array.fromAsync(train(context, job, { signal: never, pause: never }));
    const evaluated = told.find((event) => event.kind === "evaluation")?.metrics;
    const checkpoint = told.findLast((event) => event.kind === "checkpoint")?.checkpoint.path ?? "";

    const again = await Array.fromAsync(evaluate(context, { checkpoint, split: "test", batchSize: 4 }, never));
    assertEquals(again.findLast((event) => event.kind === "result")?.result.metrics, evaluated);

    // Its loss from the probabilities that inference gives the same files.
    const inference = new InferenceService(context);
    const { preprocessing } = await inference.describe(checkpoint);
    assertEquals(preprocessing, CENTER_CROP);
    await using test = await datasets.openStreamed("pictures", "test");
    const files = await Promise.all([0, 1, 2, 3].map((i) => test.read(i)));
    const images = await Promise.all(files.map((file) => decodeImage(file, SIZE, preprocessing)));
    const pixels = Uint8Array.from(images.flatMap((image) => Array.from(image)));
    const { probabilities, classNames } = await inference.infer({ checkpoint, pixels, images: 4 }, never);
    const loss = [0, 1, 2, 3].reduce((sum, i) => sum - Math.log(probabilities[2 * i + test.record(i).label]) / 4, 0);
    assertEquals(classNames, ["cat", "dog"]);
    assertAlmostEquals(loss, evaluated?.loss ?? NaN, 1e-5);
    await inference.release();

    // On packed pixels it is refused: they are of another size.
    await datasets.import("packed", folder.join("pictures"), { ...SIZE, width: 6 });
    const packed = { checkpoint, dataset: "packed", split: "test", batchSize: 4 } as const;
    const error = await assertRejects(() => Array.fromAsync(evaluate(context, packed, never)), EngineError);
    assertEquals(error.message, "Cannot evaluate on packed: its images are 8x6x3, the network takes 8x8x3");
  });
});

Deno.test("a run fails with the name of an image that cannot be read any more", async () => {
  await withContext(async (context, folder) => {
    await using split = await context.datasets.openStreamed("pictures", "train");
    const { offset, nameBytes } = split.record(6);
    const path = folder.join("data/datasets/pictures/train.records");
    const records = await Deno.readFile(path);
    records[offset + nameBytes + 30] ^= 1;
    await Deno.writeFile(path, records);
    const error = await assertRejects(
      () =>
        Array.fromAsync(train(context, { config, folder: "runs/x", resume: false }, { signal: never, pause: never })),
      Error,
    );
    assert(error.message.includes('imported as "train/cat/0003.jpg"'), error.message);
  });
});

Deno.test("planTraining() keeps no images of a streamed data set on the GPU, and refuses where they are to stay", async () => {
  await withContext(async (context) => {
    const dataset = await context.datasets.describe("pictures");
    const interlude = () => Promise.resolve();
    assertEquals((await planTraining(context, config, { dataset, interlude })).imageBytes, 0);
    const { height, width, channels, name } = sizedFor(
      { ...config, image: { height: 12, width: 10, channels: 3 } },
      dataset,
    );
    assertEquals({ height, width, channels, name }, { height: 12, width: 10, channels: 3, name: "pictures" });
    const error = await assertRejects(
      () => planTraining(context, { ...config, dataPath: "resident" }, { dataset, interlude }),
      EngineError,
    );
    assertEquals(
      error.message,
      "Cannot keep the images of pictures in GPU memory: the data set is streamed; use data path auto or host",
    );
  });
});
