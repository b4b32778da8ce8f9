/** Long logs: down-sampled when they are read, thinned out when they grow past what is kept. */
import { join } from "node:path";
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Metrics } from "../../../src/engine/mod.ts";
import { RequestError } from "../../../src/server/errors.ts";
import { Log } from "../../../src/server/log.ts";
import { EventPages, type PagePosition } from "../../../src/server/runs/event_pages.ts";
import { mergeProgress, thin } from "../../../src/server/runs/progress_windows.ts";
import type { ProgressBody, RunEvent } from "../../../src/server/runs/run.ts";
import { RunFeed } from "../../../src/server/runs/run_feed.ts";
import { RunLog } from "../../../src/server/runs/run_log.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { forever, quick } from "../../support/training_runs.ts";

function progress(step: number, changes: Partial<ProgressBody> = {}): ProgressBody {
  const metrics: Metrics = { loss: step, top1: 0.5, top5: 1, images: 64 };
  return {
    kind: "progress",
    firstStep: step,
    metrics,
    learningRate: 1 / step,
    imagesPerSecond: 100,
    totalSteps: 1e6,
    ...changes,
  };
}

interface LongLog {
  readonly log: RunLog;
  readonly store: RunStore;
  readonly feed: RunFeed;
  readonly pages: EventPages;
}

/** A run of that many steps, an evaluation after every hundredth. */
function withLog(
  { steps, keptEvents }: { readonly steps: number; readonly keptEvents: number },
  test: (parts: LongLog) => void | Promise<void>,
): () => Promise<void> {
  return async () => {
    const folder = Deno.makeTempDirSync();
    const store = RunStore.open(join(folder, "runs.sqlite"));
    store.create({ id: "a", config: quick, time: 1, requestDigest: "d" });
    const feed = new RunFeed({ store, heartbeatInterval: 1e6, batch: 100 });
    const log = new RunLog({ store, feed, log: new Log(() => {}), keptEvents, now: Date.now });
    for (let step = 1; step <= steps; step++) {
      log.append("a", { step, epoch: 0, body: progress(step) });
      if (step % 100 === 0) {
        const { metrics } = progress(step);
        log.append("a", { step, epoch: 0, body: { kind: "evaluation", metrics } });
      }
    }
    try {
      await test({ log, store, feed, pages: new EventPages(store) });
    } finally {
      store.close();
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

/** All pages of a query. */
function readAll(pages: EventPages, query: { limit: number; windows: number }): { events: RunEvent[]; pages: number } {
  const events: RunEvent[] = [];
  let position: PagePosition | undefined;
  let count = 0;
  do {
    const page = pages.read("a", { after: 0, ...query, position });
    events.push(...page.events);
    position = page.next;
    count++;
  } while (position);
  return { events, pages: count };
}

/** That the progress of a log covers each of the steps once, with means of what was logged. */
function assertTiles(events: readonly RunEvent[], steps: number): void {
  let covered = 0;
  for (const { step, body } of events) {
    if (body.kind !== "progress") continue;
    assertEquals([body.firstStep, body.metrics.images], [covered + 1, 64 * (step - covered)]);
    assertAlmostEquals(body.metrics.loss, (covered + 1 + step) / 2, 1e-6);
    covered = step;
  }
  assertEquals(covered, steps);
  for (const [index, { sequence }] of events.entries()) {
    if (index > 0) assert(sequence > events[index - 1].sequence);
  }
}

function count(events: readonly RunEvent[], kind: string): number {
  return events.filter(({ body }) => body.kind === kind).length;
}

Deno.test("mergeProgress() weights by images, speeds by time, and takes the rest of the newer", () => {
  const older = progress(1, {
    metrics: { loss: 2, top1: 0.1, top5: 0, images: 30 },
    imagesPerSecond: 10,
    dataWait: 0.5,
  });
  const newer = progress(2, {
    metrics: { loss: 6, top1: 0.5, top5: 1, images: 10 },
    imagesPerSecond: 5,
    dataWait: 0.25,
  });
  const { metrics, ...rest } = mergeProgress(older, newer);
  assertAlmostEquals(metrics.loss, 3, 1e-12);
  assertAlmostEquals(metrics.top1, 0.2, 1e-12);
  assertEquals(metrics.images, 40);
  // 3 s and 2 s.
  assertEquals(rest, {
    kind: "progress",
    firstStep: 1,
    imagesPerSecond: 8,
    dataWait: 0.75,
    learningRate: newer.learningRate,
    totalSteps: 1e6,
  });
  assertEquals(mergeProgress(older, { ...newer, imagesPerSecond: 0 }).imagesPerSecond, 0);
});

Deno.test("thin() keeps the order of what stands between", () => {
  const event = (sequence: number, step: number, body: RunEvent["body"]): RunEvent => {
    return { run: "a", sequence, time: sequence, attempt: 1, step, epoch: 0, body };
  };
  const { metrics } = progress(1);
  const thinned = [...thin([
    event(1, 0, { kind: "preparing", pipelinesReady: 1, pipelinesTotal: 1 }),
    event(2, 1, progress(1)),
    event(3, 1, { kind: "evaluation", metrics }),
    event(4, 2, progress(2)),
    event(5, 2, { kind: "evaluation", metrics }),
    event(6, 3, progress(3)),
  ], 2)];
  assertEquals(thinned.map(({ sequence, body }) => `${sequence} ${body.kind}`), [
    "1 preparing",
    "3 evaluation",
    "4 progress",
    "5 evaluation",
    "6 progress",
  ]);
});

Deno.test(
  "EventPages reads all events by pages, and what came after the first page in none",
  withLog({ steps: 1000, keptEvents: 10_000 }, ({ log, pages }) => {
    const first = pages.read("a", { after: 0, limit: 300, windows: 0 });
    log.append("a", { step: 1001, epoch: 0, body: progress(1001) });
    let events = [...first.events];
    for (let position = first.next; position;) {
      const page = pages.read("a", { after: 0, limit: 300, windows: 0, position });
      events = [...events, ...page.events];
      position = page.next;
    }
    assertTiles(events, 1000);
    assertEquals([events.length, first.lastSequence], [1011, 1011]);
  }),
);

for (const limit of [7, 100, 1000]) {
  Deno.test(
    `EventPages down-samples a curve to the windows asked for, by pages of ${limit}`,
    withLog({ steps: 2000, keptEvents: 10_000 }, ({ pages }) => {
      const { events } = readAll(pages, { limit, windows: 50 });
      assertTiles(events, 2000);
      assertEquals([count(events, "progress"), count(events, "evaluation")], [50, 20]);
      assertEquals(count(readAll(pages, { limit, windows: 1 }).events, "progress"), 1);
    }),
  );
}

Deno.test(
  "a log that grows past what is kept is thinned out, and its curve is still whole",
  withLog({ steps: 5000, keptEvents: 250 }, async ({ store, feed, pages }) => {
    const { earliestSequence, lastSequence } = store.get("a");
    assertEquals(lastSequence, 5051);
    assert(lastSequence - earliestSequence < 320, `kept ${lastSequence - earliestSequence}`);
    const { events } = readAll(pages, { limit: 1000, windows: 0 });
    assertTiles(events, 5000);
    assertEquals(count(events, "evaluation"), 50);
    assert(events.length < 1000 + 320 + 50, `${events.length} rows`);

    const watch = (after: number) => feed.watch("a", after, forever).next();
    const error = await assertRejects(() => watch(0), RequestError, `is ${earliestSequence}, got 0; ListRunEvents`);
    assertEquals(error.kind, "out-of-range");
    await assertRejects(() => watch(earliestSequence - 2), RequestError, `at least ${earliestSequence - 1}`);
    const { value } = await watch(earliestSequence - 1);
    assertEquals(value?.kind === "event" && value.event.sequence, earliestSequence);
  }),
);

Deno.test(
  "EventPages refuses a page that thinning has changed, and a sequence that is not yet",
  withLog({ steps: 2000, keptEvents: 10_000 }, ({ store, pages }) => {
    const { next: position } = pages.read("a", { after: 0, limit: 10, windows: 20 });
    store.thinOut("a", { before: 1500, width: 7 });
    const error = assertThrows(
      () => pages.read("a", { after: 0, limit: 10, windows: 20, position }),
      RequestError,
      "read it again without page_token",
    );
    assertEquals(error.kind, "out-of-range");
    assertTiles(readAll(pages, { limit: 10, windows: 20 }).events, 2000);
    assertThrows(() => pages.read("a", { after: 5000, limit: 10, windows: 0 }), RequestError, "at most 2021");
  }),
);

Deno.test(
  "a watcher that was left behind by thinning is told so in the middle",
  withLog({ steps: 500, keptEvents: 10_000 }, async ({ log, store, feed }) => {
    const watching = feed.watch("a", 0, forever);
    for (let i = 0; i < 50; i++) await watching.next();
    store.thinOut("a", { before: 400, width: 7 });
    log.append("a", { step: 501, epoch: 0, body: progress(501) });
    await assertRejects(
      async () => {
        while (!(await watching.next()).done);
      },
      RequestError,
      "the earliest event",
    );
  }),
);
