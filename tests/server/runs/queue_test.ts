import { assert, assertEquals } from "@std/assert";
import { RunQueue } from "../../../src/server/runs/queue.ts";

/** Jobs that end when told to. */
function setUp() {
  const queue = new RunQueue();
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const signals = new Map<string, AbortSignal>();
  const add = (id: string) =>
    queue.add(id, (signal) => {
      begun.push(id);
      signals.set(id, signal);
      return new Promise((resolve) => {
        ends.set(id, resolve);
        signal.addEventListener("abort", () => resolve());
      });
    });
  const end = async (id: string) => {
    ends.get(id)?.();
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { queue, begun, signals, add, end };
}

Deno.test("RunQueue runs one job at a time, in the order they came", async () => {
  const { queue, begun, add, end } = setUp();
  for (const id of ["a", "b", "c"]) add(id);
  assertEquals([begun, queue.active, queue.length], [["a"], "a", 2]);
  await end("a");
  assertEquals([begun, queue.active, queue.length], [["a", "b"], "b", 1]);
  await end("b");
  await end("c");
  assertEquals([begun, queue.active, queue.length], [["a", "b", "c"], undefined, 0]);
});

Deno.test("RunQueue.remove() takes out a job that waits, and no other", async () => {
  const { queue, begun, add, end } = setUp();
  for (const id of ["a", "b", "c"]) add(id);
  assertEquals([queue.remove("b"), queue.remove("a"), queue.remove("x")], [true, false, false]);
  await end("a");
  assertEquals(begun, ["a", "c"]);
  await end("c");
});

Deno.test("RunQueue.stop() aborts the active job with the reason and waits for its end", async () => {
  const { queue, begun, signals, add, end } = setUp();
  for (const id of ["a", "b"]) add(id);
  await queue.stop("b", "not active");
  assert(!signals.get("a")?.aborted);
  await queue.stop("a", "why");
  assertEquals(signals.get("a")?.reason, "why");
  assertEquals([begun, queue.active], [["a", "b"], "b"]);
  await end("b");
});
