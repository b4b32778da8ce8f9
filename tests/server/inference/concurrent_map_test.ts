import { assertEquals, assertRejects } from "@std/assert";
import { concurrentMap } from "../../../src/server/inference/concurrent_map.ts";

function tick(milliseconds = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function* numbers(count: number, onRead = (_: number) => {}) {
  for (let i = 0; i < count; i++) {
    onRead(i);
    yield i;
    await tick();
  }
}

Deno.test("concurrentMap() gives every result once, those ready first before the others", async () => {
  const slowFirst = async (item: number) => {
    await tick(item === 0 ? 60 : 1);
    return item;
  };
  const results = await Array.fromAsync(concurrentMap(numbers(10), 4, slowFirst));
  assertEquals(results.at(-1), 0);
  assertEquals(results.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("concurrentMap() works on at most `limit` items", async () => {
  let active = 0;
  let most = 0;
  const map = async (item: number) => {
    most = Math.max(most, ++active);
    await tick(3);
    active--;
    return item;
  };
  // Read without a pause between.
  const items = ReadableStream.from(Array.from({ length: 50 }).keys());
  await Array.fromAsync(concurrentMap(items, 4, map));
  assertEquals([most, active], [4, 0]);
});

Deno.test("concurrentMap() reads no further while its results are not taken", async () => {
  let read = 0;
  const results = concurrentMap(numbers(50, () => read++), 4, (item) => Promise.resolve(item));
  await results.next();
  await tick(30);
  // The four that are held, of which one was taken.
  assertEquals(read, 4);
  await results.return(undefined);
});

Deno.test("concurrentMap() throws what its source throws, after the results before it", async () => {
  async function* failing() {
    yield* numbers(3);
    throw new Error("gone");
  }
  const seen: number[] = [];
  await assertRejects(
    async () => {
      for await (const item of concurrentMap(failing(), 2, (item) => tick(5).then(() => item))) seen.push(item);
    },
    Error,
    "gone",
  );
  assertEquals(seen.toSorted(), [0, 1, 2]);
});

Deno.test("concurrentMap() ends the source when its consumer leaves", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  async function* source() {
    try {
      yield* numbers(1000);
    } finally {
      resolve();
    }
  }
  for await (const item of concurrentMap(source(), 2, (item) => Promise.resolve(item))) if (item === 3) break;
  await promise;
});

Deno.test("concurrentMap() of nothing gives nothing", async () => {
  assertEquals(await Array.fromAsync(concurrentMap(numbers(0), 2, (item) => Promise.resolve(item))), []);
});
