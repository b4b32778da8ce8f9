import { assert, assertEquals, assertRejects } from "@std/assert";
import { mapInOrder } from "../../src/data/readers/ordered_pool.ts";

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test("mapInOrder() keeps the order and runs no more than so many at once", async () => {
  let underWay = 0;
  let most = 0;
  const results = mapInOrder([5, 1, 4, 1, 3, 0, 2], async (item) => {
    most = Math.max(most, ++underWay);
    await wait(item * 3);
    underWay--;
    return item;
  }, { concurrency: 3 });
  assertEquals(await Array.fromAsync(results), [5, 1, 4, 1, 3, 0, 2]);
  assertEquals(most, 3);
});

Deno.test("mapInOrder() fails at the failing item's turn and waits for the rest", async () => {
  let finished = 0;
  const given: number[] = [];
  const results = mapInOrder([0, 1, 2, 3], async (item) => {
    if (item === 1) throw new Error("item 1");
    await wait(5 + item);
    finished++;
    return item;
  }, { concurrency: 4 });
  await assertRejects(
    async () => {
      for await (const item of results) given.push(item);
    },
    Error,
    "item 1",
  );
  assertEquals(given, [0]);
  assertEquals(finished, 3);
});

Deno.test("mapInOrder() starts nothing more when the caller stops", async () => {
  let started = 0;
  for await (const _ of mapInOrder(Array.from({ length: 100 }), () => Promise.resolve(started++), { concurrency: 4 })) {
    break;
  }
  assert(started <= 5, String(started));
});
