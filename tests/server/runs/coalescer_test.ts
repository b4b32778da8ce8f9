import { assertAlmostEquals, assertEquals } from "@std/assert";
import { EventCoalescer } from "../../../src/server/runs/coalescer.ts";
import type { RunEventEntry } from "../../../src/server/runs/run.ts";

function progress(step: number, loss: number, images: number): RunEventEntry {
  const metrics = { loss, top1: loss / 10, top5: 1, images };
  const rest = { firstStep: step, learningRate: 0.1, imagesPerSecond: 1, totalSteps: 100 };
  return { step, epoch: 0, body: { kind: "progress", metrics, ...rest } };
}

function preparing(pipelinesReady: number): RunEventEntry {
  return { step: 0, epoch: 0, body: { kind: "preparing", pipelinesReady, pipelinesTotal: 9 } };
}

/** A coalescer on a clock that the test sets. */
function setUp() {
  const clock = { time: 0 };
  const passed: RunEventEntry[] = [];
  const coalescer = new EventCoalescer((event) => passed.push(event), 250, () => clock.time);
  return { clock, passed, coalescer };
}

Deno.test("EventCoalescer passes the first event at once and the means over the images of those that follow", () => {
  const { clock, passed, coalescer } = setUp();
  coalescer.push(progress(1, 4, 64));
  coalescer.push(progress(2, 3, 64));
  coalescer.push(progress(3, 1, 32));
  assertEquals(passed.map(({ step }) => step), [1]);
  clock.time = 250;
  coalescer.push(progress(4, 2, 40));
  assertEquals(passed.map(({ step }) => step), [1, 4]);
  const { body: last } = passed[1];
  if (last.kind !== "progress") throw new Error("Expected progress");
  assertEquals([last.firstStep, last.metrics.images], [2, 136]);
  assertAlmostEquals(last.metrics.loss, (3 * 64 + 1 * 32 + 2 * 40) / 136, 1e-12);
  assertAlmostEquals(last.metrics.top1, (3 * 64 + 1 * 32 + 2 * 40) / 1360, 1e-12);
});

Deno.test("EventCoalescer counts every image once, over any number of events", () => {
  const { clock, passed, coalescer } = setUp();
  for (let step = 1; step <= 1000; step++) {
    coalescer.push(progress(step, step, 64));
    clock.time += 10;
  }
  coalescer.flush();
  const images = passed.map(({ body }) => body.kind === "progress" ? body.metrics.images : 0);
  assertEquals(images.reduce((sum, count) => sum + count), 64_000);
  // 10 s at 4 a second, the first and the flush.
  assertEquals(passed.length <= 42, true);
  const sum = passed.reduce(
    (sum, { body }) => sum + (body.kind === "progress" ? body.metrics.loss * body.metrics.images : 0),
    0,
  );
  assertAlmostEquals(sum / 64_000, 500.5, 1e-9);
});

Deno.test("EventCoalescer keeps the order: what waits goes before an event that does not wait", () => {
  const { passed, coalescer } = setUp();
  coalescer.push(preparing(1));
  coalescer.push(preparing(2));
  coalescer.push(progress(1, 1, 1));
  coalescer.push(progress(2, 1, 1));
  coalescer.push({
    step: 2,
    epoch: 0,
    body: { kind: "evaluation", metrics: { loss: 1, top1: 1, top5: 1, images: 1 } },
  });
  assertEquals(passed.map(({ body: { kind }, step }) => `${kind} ${step}`), [
    "preparing 0",
    "preparing 0",
    "progress 2",
    "evaluation 2",
  ]);
});

Deno.test("EventCoalescer passes only the newest of several preparations", () => {
  const { passed, coalescer } = setUp();
  for (let ready = 1; ready <= 9; ready++) coalescer.push(preparing(ready));
  coalescer.flush();
  assertEquals(passed.map(({ body }) => body.kind === "preparing" && body.pipelinesReady), [1, 9]);
});

Deno.test("EventCoalescer passes what waits when the job is silent", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const passed: RunEventEntry[] = [];
  const coalescer = new EventCoalescer((event) => {
    passed.push(event);
    if (passed.length === 2) resolve();
  }, 20);
  coalescer.push(progress(1, 1, 1));
  coalescer.push(progress(2, 1, 1));
  await promise;
  assertEquals(passed.map(({ step }) => step), [1, 2]);
});

Deno.test("EventCoalescer.flush() passes nothing twice", () => {
  const { passed, coalescer } = setUp();
  coalescer.push(progress(1, 1, 1));
  coalescer.push(progress(2, 1, 1));
  coalescer.flush();
  coalescer.flush();
  assertEquals(passed.length, 2);
});
