import { assert, assertEquals } from "@std/assert";
import { type JobControl, RunQueue } from "../../../src/server/runs/queue.ts";

/** Jobs that end when told to. */
function setUp() {
  const queue = new RunQueue();
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const controls = new Map<string, JobControl>();
  const add = (id: string, order = 0) =>
    queue.add({
      id,
      order,
      job: (control) => {
        begun.push(id);
        controls.set(id, control);
        return new Promise((resolve) => {
          ends.set(id, resolve);
          control.signal.addEventListener("abort", () => resolve());
          control.pause.addEventListener("abort", () => resolve());
        });
      },
    });
  const end = async (id: string) => {
    ends.get(id)?.();
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { queue, begun, controls, add, end };
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
  const { queue, begun, controls, add, end } = setUp();
  for (const id of ["a", "b"]) add(id);
  await queue.stop("b", "not active");
  assert(!controls.get("a")?.signal.aborted);
  await queue.stop("a", "why");
  assertEquals(controls.get("a")?.signal.reason, "why");
  assertEquals([begun, queue.active], [["a", "b"], "b"]);
  await end("b");
});

Deno.test("RunQueue.pause() asks the active job to pause and waits for its end", async () => {
  const { queue, begun, controls, add, end } = setUp();
  for (const id of ["a", "b"]) add(id);
  await queue.pause("a");
  assertEquals([controls.get("a")?.pause.aborted, controls.get("a")?.signal.aborted], [true, false]);
  assertEquals([begun, queue.active], [["a", "b"], "b"]);
  await end("b");
});

Deno.test("RunQueue.hold() starts nothing until release(), which starts the lowest order first", async () => {
  const { queue, begun, add, end } = setUp();
  add("a", 5);
  queue.hold();
  await end("a");
  for (const [id, order] of [["c", 7], ["b", 6], ["a", 5]] as const) add(id, order);
  assertEquals([begun, queue.active, queue.length], [["a"], undefined, 3]);
  queue.release();
  for (const id of ["a", "b", "c"]) await end(id);
  assertEquals(begun, ["a", "a", "b", "c"]);
});
