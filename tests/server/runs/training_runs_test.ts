import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { EngineError } from "../../../src/engine/mod.ts";
import { RequestError } from "../../../src/server/errors.ts";
import { Log } from "../../../src/server/log.ts";
import type { RunEvent } from "../../../src/server/runs/run.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { TrainingRuns } from "../../../src/server/runs/training_runs.ts";
import { brokenSeeds, FakeEngine } from "../../support/fake_engine.ts";
import { collect, forever, long, outline, quick, sequences, until, withRuns } from "../../support/training_runs.ts";

Deno.test(
  "TrainingRuns.start() trains, and watch() tells all of it without gaps",
  withRuns(async ({ runs, start, events }) => {
    const id = await start(quick);
    const log = await events(id);
    assertEquals(outline(log), [
      "state QUEUED",
      "state RUNNING",
      "preparing",
      "preparing",
      "progress",
      "evaluation",
      "checkpoint",
      "state SUCCEEDED",
    ]);
    assertEquals(sequences(log), [1, 2, 3, 4, 5, 6, 7, 8]);
    const run = runs.get(id);
    assertEquals([run.state, run.progress?.step, run.evaluation?.top1, run.checkpoints.length], [
      "SUCCEEDED",
      4,
      0.97,
      1,
    ]);
  }),
);

Deno.test(
  "TrainingRuns.start() adds nothing that the engine refuses",
  withRuns(async ({ runs, start }) => {
    await assertRejects(() => start({ ...quick, model: { name: "lm-resnet-21" } }), EngineError, "lm-resnet-21");
    assertEquals(runs.list({ limit: 10 }).runs, []);
  }),
);

Deno.test(
  "TrainingRuns.start() makes one run of concurrent requests with one id",
  withRuns(async ({ runs, engine, start, events }) => {
    const ids = await Promise.all(Array.from({ length: 10 }, () => start(quick, "same")));
    assertEquals(new Set(ids).size, 1);
    await events(ids[0]);
    assertEquals(await start(quick, "same"), ids[0]);
    assertEquals([runs.list({ limit: 10 }).runs.length, engine.trainings], [1, 1]);
  }),
);

Deno.test(
  "TrainingRuns trains one run at a time, in order",
  withRuns(async ({ runs, engine, start, events }) => {
    const ids = await Promise.all([start(quick), start(quick), start(quick)]);
    assertEquals([runs.active, runs.queued], [ids[0], 2]);
    const logs = await Promise.all(ids.map(events));
    assertEquals(engine.activeTrainings, 0);
    const spans = logs.map((log) => [log[1].time, log[log.length - 1].time]);
    assert(spans[0][1] <= spans[1][0] && spans[1][1] <= spans[2][0], JSON.stringify(spans));
  }),
);

Deno.test(
  "TrainingRuns.cancel() ends a queued run at once",
  withRuns(async ({ runs, engine, start, events }) => {
    const [first, second] = [await start(long), await start(quick)];
    assertEquals(runs.cancel(second).state, "CANCELLED");
    assertEquals(outline(await events(second)), ["state QUEUED", "state CANCELLED"]);
    runs.cancel(first);
    await events(first);
    assertEquals(engine.trainings, 1);
  }),
);

Deno.test(
  "TrainingRuns.cancel() stops a running run by way of CANCELLING, and the next one starts",
  withRuns(async ({ runs, engine, start, events }) => {
    const [first, second] = [await start(long), await start(quick)];
    await until(() => engine.activeTrainings === 1);
    assertEquals(runs.cancel(first).state, "CANCELLING");
    assertEquals(runs.cancel(first).state, "CANCELLING");
    const states = outline(await events(first)).filter((kind) => kind.startsWith("state"));
    assertEquals(states, ["state QUEUED", "state RUNNING", "state CANCELLING", "state CANCELLED"]);
    assertEquals(outline(await events(second)).at(-1), "state SUCCEEDED");
  }),
);

Deno.test(
  "TrainingRuns.cancel() refuses a run that has ended, naming its state",
  withRuns(async ({ runs, start, events }) => {
    const id = await start(quick);
    await events(id);
    const error = assertThrows(() => runs.cancel(id), RequestError, "SUCCEEDED");
    assertEquals(error.kind, "failed-precondition");
  }),
);

Deno.test(
  "TrainingRuns fails a run with the engine's words, and with general ones for other errors",
  withRuns(async ({ runs, logs, start, events }) => {
    const [known, unknown] = [
      await start({ ...quick, seed: brokenSeeds.engineError }),
      await start({ ...quick, seed: brokenSeeds.unknownError }),
    ];
    await Promise.all([events(known), events(unknown)]);
    assertEquals([runs.get(known).state, runs.get(known).statusMessage], ["FAILED", "The device was lost"]);
    assertEquals(
      [runs.get(unknown).state, runs.get(unknown).statusMessage],
      ["FAILED", "An internal error; the server's log has it"],
    );
    assertStringIncludes(logs.join("\n"), "undefined is not /secret/path");
  }),
);

Deno.test(
  "TrainingRuns.watch() goes on after a sequence, also in the middle of a run",
  withRuns(async ({ runs, start, events }) => {
    const id = await start({ ...quick, epochs: 20 });
    const early = new AbortController();
    const seen: number[] = [];
    await assertRejects(
      async () => {
        for await (const item of runs.watch(id, 0, early.signal)) {
          if (item.kind === "event") seen.push(item.event.sequence);
          if (seen.length === 3) early.abort(new Error("gone"));
        }
      },
      Error,
      "gone",
    );
    const rest = await collect(runs.watch(id, 3, forever));
    assertEquals([...seen, ...sequences(rest)], sequences(await events(id)));
  }),
);

Deno.test(
  "TrainingRuns.watch() refuses a sequence that is not yet, naming the last",
  withRuns(async ({ runs, start, events }) => {
    const id = await start(quick);
    await events(id);
    assertEquals(await Array.fromAsync(runs.watch(id, 8, forever)), []);
    const error = await assertRejects(() => Array.fromAsync(runs.watch(id, 9, forever)), RequestError, "at most 8");
    assertEquals(error.kind, "out-of-range");
  }),
);

Deno.test(
  "TrainingRuns.watch() serves many watchers the same events",
  withRuns(async ({ start, events }) => {
    const id = await start({ ...quick, epochs: 10 });
    const logs = await Promise.all(Array.from({ length: 50 }, () => events(id)));
    for (const log of logs) assertEquals(sequences(log), sequences(logs[0]));
  }),
);

Deno.test(
  "TrainingRuns.close() lets the active run write a checkpoint, and tells the watchers to come back",
  withRuns(async ({ runs, store, engine, start }) => {
    const [first, second] = [await start(long), await start(quick)];
    const told: RunEvent[] = [];
    const watching = assertRejects(
      async () => {
        for await (const item of runs.watch(first, 0, forever)) if (item.kind === "event") told.push(item.event);
      },
      RequestError,
      "runs go on when it is back",
    );
    await until(() => (store.get(first).progress?.step ?? 0) > 0);
    await runs.close();
    assertEquals((await watching).kind, "unavailable");
    assertEquals(outline(told).slice(-3), ["progress", "checkpoint", "state QUEUED"]);
    assertEquals([engine.activeTrainings, engine.trainings], [0, 1]);
    assertEquals([store.get(first).state, store.get(second).state], ["QUEUED", "QUEUED"]);
    assertStringIncludes(store.get(first).statusMessage, "The server stopped while the run was in progress");
    const error = await assertRejects(() => start(quick), RequestError, "shutting down");
    assertEquals(error.kind, "unavailable");
  }),
);

Deno.test(
  "TrainingRuns.close() leaves a run that was being cancelled CANCELLED",
  withRuns(async ({ runs, engine, start }) => {
    const id = await start(long);
    await until(() => engine.activeTrainings === 1);
    runs.cancel(id);
    await runs.close();
    assertEquals(runs.get(id).state, "CANCELLED");
  }),
);

Deno.test("TrainingRuns takes up the runs that a server which is gone left behind, the interrupted one first", async () => {
  const folder = Deno.makeTempDirSync();
  const store = RunStore.open(join(folder, "runs.sqlite"));
  for (const id of ["running", "queued", "paused", "pausing", "cancelling", "done"]) {
    store.create({ id, config: quick, time: 1, requestDigest: "d" });
  }
  store.move("paused", { state: "PAUSED" }, 2);
  for (const id of ["running", "pausing", "cancelling", "done"]) store.move(id, { state: "RUNNING" }, 2);
  store.move("pausing", { state: "PAUSING" }, 3);
  store.move("cancelling", { state: "CANCELLING", statusMessage: "Cancelled on request" }, 3);
  store.move("done", { state: "SUCCEEDED" }, 3);
  const runs = new TrainingRuns({ store, engine: new FakeEngine(folder), log: new Log(() => {}), dataDir: folder });
  assertEquals([runs.active, runs.queued], [undefined, 2], "it trains before it is told to");
  runs.begin();
  const states = (id: string) => outline(store.events(id, 0, 100)).filter((kind) => kind.startsWith("state"));
  assertEquals([runs.active, runs.queued], ["running", 1]);
  await collect(runs.watch("queued", 0, forever));
  assertEquals(states("running").slice(2), ["state QUEUED", "state RUNNING", "state SUCCEEDED"]);
  assertEquals([runs.get("running").attempt, runs.get("queued").attempt], [2, 1]);
  assertEquals(states("queued"), ["state QUEUED", "state RUNNING", "state SUCCEEDED"]);
  assertEquals(["paused", "pausing", "cancelling", "done"].map((id) => runs.get(id).state), [
    "PAUSED",
    "PAUSED",
    "CANCELLED",
    "SUCCEEDED",
  ]);
  await runs.close();
  store.close();
  Deno.removeSync(folder, { recursive: true });
});
