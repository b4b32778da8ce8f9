import { assertEquals, assertRejects } from "@std/assert";
import { ALL_BATCHES, HostFeed } from "../../src/engine/batch_feed.ts";
import { IGNORED_LABEL } from "../../src/gpu/mod.ts";

const never = new AbortController().signal;

/** Images of three bytes that tell which one they are. */
function numbered(count: number) {
  return {
    count,
    pixels: Uint8Array.from({ length: count * 3 }, (_, i) => Math.floor(i / 3)),
    labels: Uint32Array.from({ length: count }, (_, i) => i % 10),
  };
}

async function examplesOf(feed: HostFeed, epoch: number, range = ALL_BATCHES): Promise<number[][]> {
  const batches = await Array.fromAsync(feed.batches(epoch, range, never));
  return batches.map(({ count, examples }) => [...examples.subarray(0, count)]);
}

Deno.test("HostFeed.shuffled() gives every image once an epoch, whatever the batch size", async () => {
  for (const [count, batchSize] of [[1, 1], [10, 3], [44, 8], [64, 64], [65, 64], [7, 7], [100, 99]]) {
    const feed = HostFeed.shuffled(numbered(count), { batchSize, seed: 3 });
    const epochs = await Promise.all([0, 1].map((epoch) => examplesOf(feed, epoch)));
    for (const batches of epochs) {
      assertEquals(batches.flat().sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
      assertEquals(batches.length, Math.ceil(count / batchSize));
      assertEquals(batches.slice(0, -1).every(({ length }) => length === batchSize), true);
    }
    if (count > 4) assertEquals(epochs[0].flat().join() === epochs[1].flat().join(), false);
  }
});

Deno.test("HostFeed gives any part of an epoch as the whole has it, with the images' own pixels and labels", async () => {
  const options = { batchSize: 8, seed: 5 };
  const whole = await examplesOf(HostFeed.shuffled(numbered(44), options), 2);
  const feed = HostFeed.shuffled(numbered(44), options);
  assertEquals(await examplesOf(feed, 2, { start: 4, count: 1 }), [whole[4]]);
  assertEquals(await examplesOf(feed, 2, { start: 1, count: Infinity }), whole.slice(1));
  assertEquals(await examplesOf(feed, 2, { start: 6, count: 3 }), []);
  for await (const { count, examples, labels, pixels } of feed.batches(2, ALL_BATCHES, never)) {
    assertEquals(labels.length, count);
    examples.forEach((example, row) => {
      assertEquals(labels[row], example % 10);
      assertEquals([...pixels.subarray(row * 3, row * 3 + 3)], [example, example, example]);
    });
  }
});

Deno.test("HostFeed.sequential() fills the last batch up with rows that do not count", async () => {
  const batches = await Array.fromAsync(
    HostFeed.sequential(numbered(10), { batchSize: 4 }).batches(0, ALL_BATCHES, never),
  );
  assertEquals(batches.map(({ count }) => count), [4, 4, 2]);
  assertEquals([...batches[2].labels], [8, 9, IGNORED_LABEL, IGNORED_LABEL]);
});

Deno.test("HostFeed.batches() ends with the signal's reason", async () => {
  const abort = new AbortController();
  const feed = HostFeed.sequential(numbered(10), { batchSize: 4 });
  const batches = feed.batches(0, ALL_BATCHES, abort.signal);
  await batches.next();
  abort.abort(new Error("enough"));
  await assertRejects(() => batches.next(), Error, "enough");
});
