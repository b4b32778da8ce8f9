import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { TrainingConfig } from "../../../src/engine/mod.ts";
import { RequestError, ServerError } from "../../../src/server/errors.ts";
import type { RunEventBody } from "../../../src/server/runs/run.ts";
import { type NewRun, RunStore } from "../../../src/server/runs/store.ts";

const config: TrainingConfig = {
  model: { name: "lm-resnet-20" },
  dataset: "digits",
  epochs: 2,
  batchSize: 64,
  seed: 7,
  learningRate: 0.1,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [1],
  factor: 0.1,
  labelSmoothing: 0,
  cropPadding: 2,
  horizontalFlip: false,
  precision: "f32",
  evaluateEveryEpochs: 1,
  checkpointEverySteps: 0,
  checkpointsKept: 2,
  maxRetries: 0,
};

function newRun(id: string, changes: Partial<NewRun> = {}): NewRun {
  return { id, config, time: 1000, requestDigest: "d", ...changes };
}

function progress(loss: number): RunEventBody {
  const metrics = { loss, top1: 0.5, top5: 1, images: 64 };
  return {
    kind: "progress",
    firstStep: 1,
    metrics,
    learningRate: 0.1,
    imagesPerSecond: 10,
    totalSteps: 8,
    secondsLeft: 3,
  };
}

function withFolder(test: (path: string) => void): () => void {
  return () => {
    const folder = Deno.makeTempDirSync();
    try {
      test(join(folder, "runs.sqlite"));
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

function withStore(test: (store: RunStore) => void): () => void {
  return withFolder((path) => {
    const store = RunStore.open(path);
    try {
      test(store);
    } finally {
      store.close();
    }
  });
}

Deno.test(
  "RunStore.create() adds a queued run with its first event",
  withStore((store) => {
    const { run, created } = store.create(newRun("a"));
    assert(created);
    assertEquals([run.id, run.state, run.lastSequence, run.attempt, run.createTime], ["a", "QUEUED", 1, 1, 1000]);
    assertEquals(run.config, config);
    assertEquals(store.events("a", 0, 10).map(({ body }) => body), [{
      kind: "state",
      state: "QUEUED",
      statusMessage: "",
    }]);
  }),
);

Deno.test(
  "RunStore.create() gives the first run for a known request id",
  withStore((store) => {
    store.create(newRun("a", { requestId: "r" }));
    const { run, created } = store.create(newRun("b", { requestId: "r" }));
    assertEquals([run.id, created], ["a", false]);
    assertEquals(store.list({ limit: 10 }).runs.length, 1);
  }),
);

Deno.test(
  "RunStore.create() refuses a known request id with another configuration",
  withStore((store) => {
    store.create(newRun("a", { requestId: "r" }));
    const again = newRun("b", { requestId: "r", requestDigest: "other" });
    const error = assertThrows(() => store.create(again), RequestError, '"runs/a"');
    assertEquals(error.kind, "already-exists");
    assertEquals(store.list({ limit: 10 }).runs.length, 1);
  }),
);

Deno.test(
  "RunStore.append() numbers the events without gaps and brings the run up to them",
  withStore((store) => {
    store.create(newRun("a"));
    store.move("a", { state: "RUNNING" }, 2000);
    store.append("a", { step: 3, epoch: 1, body: progress(0.5) }, 3000);
    const checkpoint = { path: "runs/a/checkpoints/step-00000003.safetensors", step: 3, epoch: 1, bytes: 2 ** 40 };
    store.append("a", {
      step: 3,
      epoch: 1,
      body: { kind: "checkpoint", checkpoint, best: true, kept: [checkpoint.path] },
    }, 4000);
    const metrics = { loss: 0.1, top1: 0.9, top5: 1, images: 20 };
    store.append("a", { step: 3, epoch: 1, body: { kind: "evaluation", metrics } }, 5000);
    const last = store.move("a", { state: "SUCCEEDED" }, 6000);
    assertEquals(store.events("a", 0, 10).map(({ sequence }) => sequence), [1, 2, 3, 4, 5, 6]);
    assertEquals([last.step, last.epoch], [3, 1]);
    const run = store.get("a");
    assertEquals([run.state, run.startTime, run.endTime, run.lastSequence], ["SUCCEEDED", 2000, 6000, 6]);
    assertEquals(run.checkpoints, [{ ...checkpoint, best: true }]);
    assertEquals(run.evaluation, metrics);
    assertEquals(run.progress, {
      step: 3,
      epoch: 1,
      totalSteps: 8,
      training: { loss: 0.5, top1: 0.5, top5: 1, images: 64 },
      imagesPerSecond: 10,
      secondsLeft: 3,
    });
  }),
);

Deno.test(
  "RunStore.append() changes nothing when the move is illegal",
  withStore((store) => {
    store.create(newRun("a"));
    assertThrows(
      () => store.move("a", { state: "SUCCEEDED" }, 2000),
      RequestError,
      "is QUEUED and cannot become SUCCEEDED",
    );
    assertEquals([store.get("a").state, store.get("a").lastSequence, store.events("a", 0, 10).length], [
      "QUEUED",
      1,
      1,
    ]);
  }),
);

Deno.test(
  "RunStore keeps losses that are not finite",
  withStore((store) => {
    store.create(newRun("a"));
    store.append("a", { step: 1, epoch: 0, body: progress(NaN) }, 1);
    store.append("a", { step: 2, epoch: 0, body: progress(Infinity) }, 2);
    const losses = store.events("a", 1, 10).map(({ body }) => body.kind === "progress" && body.metrics.loss);
    assertEquals(losses, [NaN, Infinity]);
    assertEquals(store.get("a").progress?.training.loss, Infinity);
  }),
);

Deno.test(
  "RunStore.events() gives pieces that join without gap",
  withStore((store) => {
    store.create(newRun("a"));
    for (let step = 1; step <= 9; step++) store.append("a", { step, epoch: 0, body: progress(step) }, step);
    const first = store.events("a", 2, 4).map(({ sequence }) => sequence);
    const second = store.events("a", 6, 100).map(({ sequence }) => sequence);
    assertEquals([...first, ...second], [3, 4, 5, 6, 7, 8, 9, 10]);
  }),
);

Deno.test(
  "RunStore.list() pages from the newest, each run once, also when runs are added between",
  withStore((store) => {
    for (const id of ["a", "b", "c", "d", "e"]) store.create(newRun(id));
    const first = store.list({ limit: 2 });
    store.create(newRun("f"));
    const second = store.list({ limit: 2, before: first.next });
    const third = store.list({ limit: 2, before: second.next });
    assertEquals([first, second, third].map(({ runs }) => runs.map(({ id }) => id)), [["e", "d"], ["c", "b"], ["a"]]);
    assertEquals(third.next, undefined);
  }),
);

Deno.test(
  "RunStore.get() names a run that does not exist",
  withStore((store) => {
    assertEquals(assertThrows(() => store.get("nope"), RequestError, '"runs/nope"').kind, "not-found");
  }),
);

Deno.test(
  "RunStore.open() finds what an earlier store has written",
  withFolder((path) => {
    const first = RunStore.open(path);
    first.create(newRun("a", { requestId: "r" }));
    first.create(newRun("b"));
    first.move("b", { state: "CANCELLED", statusMessage: "why" }, 1);
    first.close();
    const second = RunStore.open(path);
    assertEquals(second.unfinished().map(({ id }) => id), ["a"]);
    assertEquals(second.get("b").statusMessage, "why");
    assertEquals(second.findByRequest("r", "d")?.id, "a");
    second.close();
  }),
);

Deno.test(
  "RunStore.open() starts anew on an empty file, as a start that was cut off leaves it",
  withFolder((path) => {
    Deno.writeFileSync(path, new Uint8Array());
    RunStore.open(path).close();
  }),
);

Deno.test(
  "RunStore.open() refuses a file that is no database",
  withFolder((path) => {
    Deno.writeTextFileSync(path, "this is not a database, but long enough to have a header ".repeat(100));
    assertStringIncludes(
      assertThrows(() => RunStore.open(path), ServerError).message,
      "damaged or not one of Multistep",
    );
  }),
);

Deno.test(
  "RunStore.open() refuses another program's database",
  withFolder((path) => {
    const other = new DatabaseSync(path);
    other.exec("CREATE TABLE notes (text TEXT)");
    other.close();
    assertThrows(() => RunStore.open(path), ServerError, "not a database of Multistep");
  }),
);

Deno.test(
  "RunStore.open() refuses a newer format, naming both versions",
  withFolder((path) => {
    RunStore.open(path).close();
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 99");
    database.close();
    assertThrows(
      () => RunStore.open(path),
      ServerError,
      "its format is version 99, this server reads version 2 and older",
    );
  }),
);

Deno.test(
  "RunStore.open() refuses a file that was cut off",
  withFolder((path) => {
    const store = RunStore.open(path);
    store.create(newRun("a"));
    for (let step = 1; step <= 500; step++) store.append("a", { step, epoch: 0, body: progress(step) }, step);
    store.close();
    Deno.truncateSync(path, 3 * 4096);
    assertStringIncludes(assertThrows(() => RunStore.open(path), ServerError).message, "damaged");
  }),
);

Deno.test(
  "RunStore.open() says why a file cannot be opened",
  withFolder((path) => {
    Deno.mkdirSync(path);
    assertThrows(() => RunStore.open(path), ServerError, "unable to open database file");
  }),
);
