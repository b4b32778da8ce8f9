/** Databases of older servers. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { assertEquals, assertThrows } from "@std/assert";
import { ServerError } from "../../../src/server/errors.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { assertWholeLog, withRuns } from "../../support/training_runs.ts";

/** As the first version made it. */
const version1 = `
  BEGIN;
  CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, request_id TEXT UNIQUE,
    request_digest TEXT NOT NULL, state TEXT NOT NULL, config TEXT NOT NULL, create_time INTEGER NOT NULL,
    start_time INTEGER, end_time INTEGER, progress TEXT, evaluation TEXT, status_message TEXT NOT NULL,
    last_sequence INTEGER NOT NULL, attempt INTEGER NOT NULL, checkpoints TEXT NOT NULL
  ) STRICT;
  CREATE INDEX runs_by_state ON runs (state);
  CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, sequence INTEGER NOT NULL, time INTEGER NOT NULL,
    attempt INTEGER NOT NULL, step INTEGER NOT NULL, epoch INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (run, sequence)
  ) STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${0x4d737470};
  PRAGMA user_version = 1;
  COMMIT;
`;

const config = {
  model: { name: "lm-resnet-20" },
  dataset: "digits",
  epochs: 2,
  batchSize: 64,
  seed: 7,
  learningRate: 0.1,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [],
  factor: 0.1,
  labelSmoothing: 0,
  cropPadding: 2,
  horizontalFlip: false,
  precision: "f32",
  evaluateEveryEpochs: 1,
};

function progress(losses: number[]): object {
  const metrics = {
    loss: losses.reduce((sum, loss) => sum + loss) / losses.length,
    top1: 0,
    top5: 1,
    images: 64 * losses.length,
  };
  return { kind: "progress", metrics, learningRate: 0.1, imagesPerSecond: 100, totalSteps: 8 };
}

/** A run that ended, and one that its server left in the middle of a step. */
function write(path: string): void {
  const database = new DatabaseSync(path);
  database.exec(version1);
  const checkpoint = { path: "runs/done/checkpoints/step-00000008.safetensors", step: 8, epoch: 1, bytes: 7 };
  const evaluation = { loss: 0.1, top1: 0.97, top5: 1, images: 2000 };
  const run = database.prepare(
    `INSERT INTO runs (id, request_id, request_digest, state, config, create_time, start_time,
    end_time, progress, evaluation, status_message, last_sequence, attempt, checkpoints)
    VALUES (?, ?, 'd', ?, ?, 1000, 2000, ?, ?, ?, '', ?, 1, ?)`,
  );
  const { kind: _, ...told } = progress([7.1]) as { kind: string; metrics: object };
  const text = JSON.stringify;
  const seen = text({ step: 8, epoch: 1, totalSteps: 8, imagesPerSecond: 100, training: told.metrics });
  run.run("done", "r", "SUCCEEDED", text(config), 9000, seen, text(evaluation), 6, text([checkpoint]));
  const step3 = text({ step: 3, epoch: 0, totalSteps: 8, imagesPerSecond: 100, training: told.metrics });
  run.run("cut", null, "RUNNING", text(config), null, step3, null, 4, "[]");
  const event = database.prepare("INSERT INTO events VALUES (?, ?, ?, 1, ?, ?, ?)");
  const bodies = {
    queued: { kind: "state", state: "QUEUED", statusMessage: "" },
    running: { kind: "state", state: "RUNNING", statusMessage: "" },
  };
  event.run("done", 1, 1000, 0, 0, text(bodies.queued));
  event.run("done", 2, 2000, 0, 0, text(bodies.running));
  event.run("done", 3, 3000, 1, 0, text(progress([8])));
  event.run("done", 4, 4000, 8, 1, text(progress([7.5, 7.2, 7.1, 7, 7, 7, 7])));
  event.run("done", 5, 5000, 8, 1, text({ kind: "evaluation", metrics: evaluation }));
  event.run("done", 6, 9000, 8, 1, text({ kind: "checkpoint", checkpoint }));
  event.run("cut", 1, 1000, 0, 0, text(bodies.queued));
  event.run("cut", 2, 2000, 0, 0, text(bodies.running));
  event.run("cut", 3, 3000, 1, 0, text(progress([8])));
  event.run("cut", 4, 4000, 3, 0, text(progress([7.5, 7 + 1 / 3])));
  database.close();
}

Deno.test("RunStore.open() brings a database of version 1 to the newest, with what it lacked filled in", () => {
  const folder = Deno.makeTempDirSync();
  const path = join(folder, "runs.sqlite");
  write(path);
  const store = RunStore.open(path);
  const done = store.get("done");
  assertEquals([done.config.checkpointEverySteps, done.config.checkpointsKept, done.config.maxRetries], [1000, 2, 2]);
  assertEquals([done.lastTime, done.evaluationStep, done.earliestSequence, done.retries], [9000, 8, 1, 0]);
  assertEquals(done.checkpoints.map(({ step, best }) => [step, best]), [[8, false]]);
  const firstSteps = store.events("done", 0, 10).map(({ body }) => body.kind === "progress" && body.firstStep);
  assertEquals(firstSteps, [false, false, 1, 2, false, false]);
  const last = store.events("done", 5, 1)[0].body;
  assertEquals(last.kind === "checkpoint" && last.kept, [done.checkpoints[0].path]);
  assertEquals(store.unfinished().map(({ id }) => id), ["cut"]);
  assertEquals(store.create({ id: "new", config: done.config, time: 1, requestDigest: "d" }).run.queueOrder, 3);
  store.close();
  // Opened again, it is of the newest version.
  RunStore.open(path).close();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a run that a server of version 1 left in the middle goes on, and its log stays whole", async () => {
  const folder = Deno.makeTempDirSync();
  write(join(folder, "runs.sqlite"));
  await withRuns(async ({ runs, events }) => {
    assertWholeLog(await events("cut"), runs.get("cut").config);
    assertEquals([runs.get("cut").state, runs.get("cut").attempt], ["SUCCEEDED", 2]);
  }, { folder })();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a migration that fails leaves the file as it was", () => {
  const folder = Deno.makeTempDirSync();
  const path = join(folder, "runs.sqlite");
  write(path);
  const database = new DatabaseSync(path);
  database.exec("UPDATE runs SET config = 'no JSON' WHERE id = 'cut'");
  database.close();
  assertThrows(() => RunStore.open(path), ServerError, "the database is damaged");
  const after = new DatabaseSync(path);
  assertEquals(after.prepare("PRAGMA user_version").get()?.user_version, 1);
  assertEquals(after.prepare("SELECT count(*) AS columns FROM pragma_table_info('runs')").get()?.columns, 15);
  after.close();
  Deno.removeSync(folder, { recursive: true });
});
