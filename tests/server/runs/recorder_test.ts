import { join } from "node:path";
import { assertEquals, assertThrows } from "@std/assert";
import type { Metrics, TrainingEvent } from "../../../src/engine/mod.ts";
import { Log } from "../../../src/server/log.ts";
import { EventRecorder } from "../../../src/server/runs/recorder.ts";
import { RunFeed } from "../../../src/server/runs/run_feed.ts";
import { RunLog } from "../../../src/server/runs/run_log.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { quick } from "../../support/training_runs.ts";

const never = 1e9;
const metrics: Metrics = { loss: 1, top1: 0, top5: 0, images: 64 };

function progress(step: number): TrainingEvent {
  const rest = { learningRate: 0.1, imagesPerSecond: 1, dataWait: 0, totalSteps: 100 };
  return { kind: "progress", step, epoch: 0, metrics, ...rest };
}

function checkpoint(step: number, kept: number[]): TrainingEvent {
  const path = (at: number) => `runs/a/step-${at}`;
  const written = { path: path(step), step, epoch: 0, bytes: 1 };
  return { kind: "checkpoint", step, epoch: 0, checkpoint: written, best: false, kept: kept.map(path) };
}

function withLog(test: (log: RunLog, outline: () => string[]) => void): () => void {
  return () => {
    const folder = Deno.makeTempDirSync();
    const store = RunStore.open(join(folder, "runs.sqlite"));
    store.create({ id: "a", config: quick, time: 1, requestDigest: "d" });
    const feed = new RunFeed({ store, heartbeatInterval: never, batch: 100 });
    const log = new RunLog({ store, feed, log: new Log(() => {}), keptEvents: 1000, now: () => 1 });
    const outline = () =>
      store.events("a", 1, 100).map(({ step, body }) =>
        body.kind === "progress" ? `progress ${body.firstStep}-${step}` : `${body.kind} ${step}`
      );
    try {
      test(log, outline);
    } finally {
      store.close();
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

Deno.test(
  "EventRecorder has written all steps before a checkpoint gets its name",
  withLog((log, outline) => {
    const recorder = new EventRecorder(log, "a", never);
    for (const step of [1, 2, 3]) recorder.record(progress(step));
    assertEquals(outline(), ["progress 1-1"]);
    recorder.record({ kind: "checkpointing", step: 3, epoch: 0 });
    assertEquals(outline(), ["progress 1-1", "progress 2-3"]);
    assertEquals(log.get("a").progress?.step, 3);
  }),
);

Deno.test(
  "EventRecorder drops what a resumed job repeats, and nothing else",
  withLog((log, outline) => {
    const first = new EventRecorder(log, "a", never);
    for (const step of [1, 2, 3, 4]) first.record(progress(step));
    first.record(checkpoint(4, [4]));
    for (const step of [5, 6]) first.record(progress(step));
    first.record({ kind: "evaluation", step: 6, epoch: 0, metrics });
    const known = outline();
    const second = new EventRecorder(log, "a", never);
    second.record({
      kind: "resumed",
      step: 2,
      epoch: 0,
      from: { path: "runs/a/step-2", step: 2, epoch: 0, bytes: 1 },
      refused: [],
    });
    for (const step of [3, 4]) second.record(progress(step));
    second.record(checkpoint(4, [2, 4]));
    for (const step of [5, 6]) second.record(progress(step));
    second.record({ kind: "evaluation", step: 6, epoch: 0, metrics });
    for (const step of [7, 8]) second.record(progress(step));
    second.record({ kind: "evaluation", step: 8, epoch: 0, metrics });
    second.record({ kind: "paused", step: 8, epoch: 0 });
    assertEquals(outline(), [...known, "resumed 2", "progress 7-7", "progress 8-8", "evaluation 8"]);
  }),
);

Deno.test(
  "EventRecorder writes a checkpoint again that could not be used",
  withLog((log, outline) => {
    const first = new EventRecorder(log, "a", never);
    first.record(progress(1));
    first.record(checkpoint(1, [1]));
    const second = new EventRecorder(log, "a", never);
    second.record({
      kind: "resumed",
      step: 0,
      epoch: 0,
      refused: [{ path: "runs/a/step-1", reason: "It is cut off" }],
    });
    assertEquals(log.get("a").checkpoints, []);
    second.record(progress(1));
    second.record(checkpoint(1, [1]));
    assertEquals(outline(), ["progress 1-1", "checkpoint 1", "resumed 0", "checkpoint 1"]);
    assertEquals(log.get("a").checkpoints.map(({ step }) => step), [1]);
  }),
);

Deno.test(
  "EventRecorder tells at the next event of what a timer could not write",
  withLog((log) => {
    const recorder = new EventRecorder(log, "a", never);
    recorder.record(progress(1));
    log.append = () => {
      throw new Error("no room");
    };
    recorder.record(progress(2));
    assertThrows(() => recorder.record({ kind: "evaluation", step: 2, epoch: 0, metrics }), Error, "no room");
    assertThrows(() => recorder.flush(), Error, "no room");
  }),
);
