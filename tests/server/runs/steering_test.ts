/** Runs that are paused, resumed, restarted, deleted, and taken up again after a fault. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { EngineError } from "../../../src/engine/mod.ts";
import { RequestError } from "../../../src/server/errors.ts";
import type { RunEvent } from "../../../src/server/runs/run.ts";
import { brokenSeeds } from "../../support/fake_engine.ts";
import {
  assertWholeLog,
  finalWeights,
  forever,
  long,
  outline,
  quick,
  states,
  until,
  withRuns,
} from "../../support/training_runs.ts";

const config = { ...quick, epochs: 20, seed: 3, checkpointEverySteps: 7 };

async function weightsIn(folder: string, id: string): Promise<number> {
  const path = join(folder, "runs", id, "checkpoints", "step-00000080.safetensors");
  return JSON.parse(await Deno.readTextFile(path)).weights;
}

function refused(call: () => unknown, ...texts: string[]): void {
  for (const text of texts) {
    assertEquals(assertThrows(call, RequestError, text).kind, "failed-precondition");
  }
}

Deno.test(
  "a run that is paused and resumed is the uninterrupted run",
  withRuns(async ({ runs, engine, folder, start, events }) => {
    const id = await start(config);
    for (let round = 0; round < 3; round++) {
      const { step = 0 } = runs.get(id).progress ?? {};
      await until(() => (runs.get(id).progress?.step ?? 0) > step);
      assertEquals(runs.pause(id).state, "PAUSING");
      assertEquals(runs.pause(id).state, "PAUSING");
      refused(() => runs.resume(id), "is PAUSING; resume it when it is PAUSED");
      await until(() => runs.get(id).state === "PAUSED");
      assertEquals(runs.pause(id).statusMessage, "Paused on request");
      runs.resume(id);
      // Again: it is on its way.
      assert(["QUEUED", "RUNNING"].includes(runs.resume(id).state));
    }
    const log = await events(id);
    assertWholeLog(log, config);
    assertEquals(states(log), [
      "QUEUED",
      "RUNNING",
      ...Array.from({ length: 3 }, () => ["PAUSING", "PAUSED", "QUEUED", "RUNNING"]).flat(),
      "SUCCEEDED",
    ]);
    assertEquals([runs.get(id).attempt, engine.trainings], [4, 4]);
    assertEquals(await weightsIn(folder, id), finalWeights(config));
  }),
);

Deno.test(
  "a resumed run tells where it goes on, and which checkpoints it could not use",
  withRuns(async ({ runs, folder, start, events }) => {
    const id = await start(config);
    await until(() => runs.get(id).checkpoints.length === 2);
    runs.pause(id);
    await until(() => runs.get(id).state === "PAUSED");
    const [older, newest] = runs.get(id).checkpoints;
    Deno.truncateSync(join(folder, newest.path), 5);
    runs.resume(id);
    const log = await events(id);
    assertWholeLog(log, config);
    const told = log.flatMap(({ body }) => body.kind === "resumed" ? [body] : []);
    assertEquals(told.map(({ from, refused }) => [from?.path, refused.map(({ path }) => path)]), [
      [older.path, [newest.path]],
    ]);
    assertEquals(await weightsIn(folder, id), finalWeights(config));
  }),
);

Deno.test(
  "a paused run lets go of the GPU, and goes to the end of the queue when it is resumed",
  withRuns(async ({ runs, start, events }) => {
    const first = await start(config);
    await until(() => runs.get(first).state === "RUNNING");
    const [second, third] = [await start(quick), await start(quick)];
    assertEquals(runs.pause(third).state, "PAUSED");
    assertEquals(runs.queued, 1);
    runs.pause(first);
    await until(() => runs.get(second).state === "RUNNING");
    assertEquals([runs.resume(third).state, runs.resume(first).state], ["QUEUED", "QUEUED"]);
    const logs = [await events(third), await events(first)];
    const start3 = logs[0].find(({ body }) => body.kind === "state" && body.state === "RUNNING");
    const start1 = logs[1].findLast(({ body }) => body.kind === "state" && body.state === "RUNNING");
    assert((start3?.time ?? 0) <= (start1?.time ?? 0));
    // It was paused before it began.
    assertEquals(runs.get(third).attempt, 1);
  }),
);

Deno.test(
  "cancel() ends a paused run at once, and a pausing one",
  withRuns(async ({ runs, engine, start }) => {
    const [first, second] = [await start(long), await start(quick)];
    runs.pause(second);
    assertEquals(runs.cancel(second).state, "CANCELLED");
    await until(() => engine.activeTrainings === 1);
    runs.pause(first);
    assertEquals(runs.cancel(first).state, "CANCELLING");
    refused(() => runs.pause(first), "is CANCELLING and cannot become PAUSING");
    await until(() => runs.get(first).state === "CANCELLED");
    refused(() => runs.pause(first), "is CANCELLED already");
    refused(() => runs.resume(first), "is CANCELLED already");
  }),
);

Deno.test(
  "restart() makes a new run of the same configuration, once for a request id",
  withRuns(async ({ runs, start, events }) => {
    const id = await start(config);
    await events(id);
    const options = { requestId: "again", requestDigest: "x" };
    const [first, second] = [await runs.restart(id, options), await runs.restart(id, options)];
    assertEquals([first.id === id, second.id], [false, first.id]);
    assertEquals(first.config, runs.get(id).config);
    assertWholeLog(await events(first.id), config);
  }),
);

Deno.test(
  "delete() removes an ended or paused run with its files, and refuses others",
  withRuns(async ({ runs, folder, start, events }) => {
    const done = await start(quick);
    await events(done);
    assert(Deno.statSync(join(folder, "runs", done)).isDirectory);
    await runs.delete(done);
    assertThrows(() => Deno.statSync(join(folder, "runs", done)), Deno.errors.NotFound);
    assertEquals(assertThrows(() => runs.get(done), RequestError).kind, "not-found");

    const active = await start(long);
    await until(() => runs.get(active).state === "RUNNING");
    await assertRejects(() => runs.delete(active), RequestError, "is RUNNING; cancel or pause it, and delete it when");
    runs.pause(active);
    await until(() => runs.get(active).state === "PAUSED");
    // Told of its end, unless the run is gone before the watcher has looked.
    const watching = events(active).then((log) => states(log).at(-1), (error) => error.kind);
    await runs.delete(active);
    assert(["CANCELLED", "not-found"].includes(await watching));
    assertEquals(runs.list({ limit: 10 }).runs, []);
  }),
);

Deno.test(
  "a run is taken up again after a fault, from its last checkpoint",
  withRuns(async ({ runs, start, events }) => {
    const faulty = { ...quick, seed: brokenSeeds.oneFault, maxRetries: 2 };
    const id = await start(faulty);
    const log = await events(id);
    assertWholeLog(log, faulty);
    assertEquals(states(log), ["QUEUED", "RUNNING", "RUNNING", "SUCCEEDED"]);
    const { body } = log.filter(({ body }) => body.kind === "state")[2] as RunEvent;
    assertEquals(
      body.kind === "state" && body.statusMessage,
      "Taken up again (1 of 2) after a fault: The device was lost",
    );
    assertEquals([runs.get(id).attempt, runs.get(id).retries], [2, 1]);
  }),
);

Deno.test(
  "a run fails when it has used up its retries, and at once when it diverged; the next one starts",
  withRuns(async ({ runs, engine, start, events }) => {
    const faulty = await start({ ...quick, seed: brokenSeeds.fault, maxRetries: 2 });
    const once = await start({ ...quick, seed: brokenSeeds.fault });
    const diverged = await start({ ...quick, seed: brokenSeeds.diverged, maxRetries: 2 });
    const good = await start(quick);
    await events(good);
    assertEquals([faulty, once, diverged, good].map((id) => [runs.get(id).state, runs.get(id).statusMessage]), [
      ["FAILED", "The device was lost (after 2 retries)"],
      ["FAILED", "The device was lost"],
      ["FAILED", "The loss became NaN"],
      ["SUCCEEDED", ""],
    ]);
    assertEquals(engine.trainings, 3 + 1 + 1 + 1);
  }),
);

Deno.test(
  "a run that cannot go on because its data set is gone waits until that is mended, as if it had been paused",
  withRuns(async ({ runs, engine, start, events }) => {
    const id = await start({ ...quick, epochs: 50 });
    await until(() => (runs.get(id).progress?.step ?? 0) > 0);
    runs.pause(id);
    await until(() => runs.get(id).state === "PAUSED");
    engine.resumeError = new EngineError("not-found", 'There is no data set "digits"');
    runs.resume(id);
    await until(() => runs.get(id).state === "PAUSED");
    assertEquals([runs.get(id).statusMessage, runs.get(id).resumesItself], ['There is no data set "digits"', false]);
    engine.resumeError = undefined;
    runs.resume(id);
    const log = await events(id);
    assertWholeLog(log, { ...quick, epochs: 50 });
    assertEquals(states(log).slice(2).join(" "), "PAUSING PAUSED QUEUED RUNNING PAUSED QUEUED RUNNING SUCCEEDED");
  }),
);

Deno.test(
  "a retry waits until the engine has replaced its worker",
  withRuns(async ({ runs, engine, start, events }) => {
    engine.replacementTime = 50;
    const id = await start({ ...quick, seed: brokenSeeds.oneFault, maxRetries: 1 });
    await events(id);
    assertEquals(runs.get(id).state, "SUCCEEDED");
    assertEquals(engine.trainedWhileUnavailable, false);
    assertEquals(engine.listeners.size, 0, "who waited for the engine still listens");
  }),
);

Deno.test(
  "watchers of a silent run get heartbeats, which are no events",
  withRuns(async ({ runs, store, start }) => {
    const id = await start(long);
    const leave = new AbortController();
    const beats: number[] = [];
    let last = 0;
    for await (const item of runs.watch(id, 0, AbortSignal.any([leave.signal, forever]))) {
      if (item.kind === "event") last = item.event.sequence;
      else {
        assertEquals(item.lastSequence, last);
        if (beats.push(last) === 3) break;
      }
    }
    assertEquals(store.get(id).lastSequence, last);
    runs.cancel(id);
  }, { fake: { stepTime: 60_000 }, runs: { heartbeatInterval: 5 } }),
);

Deno.test("times in a log never go back, though the machine's clock does", async () => {
  const clock = { time: 1_000_000 };
  await withRuns(async ({ runs, start, events }) => {
    const id = await start(config);
    await until(() => (runs.get(id).progress?.step ?? 0) > 0);
    clock.time = 5;
    const log = await events(id);
    assertWholeLog(log, config);
    const { createTime, startTime = 0, endTime = 0 } = runs.get(id);
    assert(createTime <= startTime && startTime <= endTime);
  }, { runs: { now: () => clock.time++ } })();
});

Deno.test("close() without patience leaves a run that does not pause to the next server", async () => {
  const folder = Deno.makeTempDirSync();
  await withRuns(async ({ runs, store, start }) => {
    const id = await start(config);
    await until(() => runs.get(id).state === "RUNNING");
    await runs.close(0);
    assertEquals(outline(store.events(id, 0, 100)).at(-1), "state QUEUED");
  }, { folder, fake: { stepTime: 60_000 } })();
  await withRuns(async ({ runs, events }) => {
    const [{ id }] = runs.list({ limit: 1 }).runs;
    assertWholeLog(await events(id), config);
  }, { folder })();
  Deno.removeSync(folder, { recursive: true });
});
