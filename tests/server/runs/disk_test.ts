/** Disks that fill, that cannot be written, and a store that is copied while it is used. */
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { RunStore } from "../../../src/server/runs/store.ts";
import { StorageError } from "../../../src/server/runs/storage_error.ts";
import { makeReadOnly, SmallDisk, smallDiskProblem } from "../../support/small_disk.ts";
import {
  assertWholeLog,
  type Fixture,
  type FixtureOptions,
  quick,
  sequences,
  states,
  until,
  withRuns,
} from "../../support/training_runs.ts";

const problem = smallDiskProblem();
const config = { ...quick, epochs: 60, checkpointEverySteps: 7, seed: 5 };
const mebibyte = 2 ** 20;

/** A test on a disk of 8 MiB; left out where there can be none, which its name says. */
function diskTest(
  name: string,
  options: FixtureOptions["runs"],
  test: (fixture: Fixture, disk: SmallDisk) => Promise<void>,
): void {
  Deno.test({
    name: problem ? `${name} (left out: ${problem})` : name,
    ignore: problem !== undefined,
    async fn() {
      using disk = new SmallDisk(8);
      const runs = { diskInterval: 5, metricsInterval: 1, ...options };
      await withRuns((fixture) => test(fixture, disk), { folder: disk.folder, runs })();
    },
  });
}

function stepOf({ runs }: Fixture, id: string): number {
  return runs.get(id).progress?.step ?? 0;
}

diskTest("a disk that fills pauses the run with the reason; it goes on when there is room", {
  minFreeDisk: 2 * mebibyte,
}, async (fixture, disk) => {
  const { runs, start, events } = fixture;
  const [id, next] = [await start(config), await start(quick)];
  await until(() => stepOf(fixture, id) > 20);
  disk.fill(mebibyte);
  await until(() => runs.get(id).state === "PAUSED");
  assertMatch(
    runs.get(id).statusMessage,
    /^The server's disk has 1\.\d MiB free, less than the 2\.0 MiB to be kept so$/,
  );
  assertEquals([runs.get(id).resumesItself, runs.get(next).state, runs.active], [true, "QUEUED", undefined]);
  disk.empty();
  const log = await events(id);
  assertWholeLog(log, config);
  assertEquals(states(log), ["QUEUED", "RUNNING", "PAUSING", "PAUSED", "QUEUED", "RUNNING", "SUCCEEDED"]);
  assertEquals(states(await events(next)), ["QUEUED", "RUNNING", "SUCCEEDED"]);
});

diskTest("a run that still pauses when there is room again goes on too", {
  minFreeDisk: 2 * mebibyte,
}, async ({ runs, engine, start, events }, disk) => {
  engine.options.stepTime = 50;
  const id = await start({ ...config, epochs: 3 });
  await until(() => engine.activeTrainings === 1);
  disk.fill(mebibyte);
  await until(() => runs.get(id).state === "PAUSING");
  disk.empty();
  const log = await events(id);
  assertWholeLog(log, { ...config, epochs: 3 });
  assertEquals(states(log), ["QUEUED", "RUNNING", "PAUSING", "PAUSED", "QUEUED", "RUNNING", "SUCCEEDED"]);
});

diskTest(
  "room on the disk does not undo what a user has paused",
  { minFreeDisk: 2 * mebibyte },
  async (fixture, disk) => {
    const { runs, start, events } = fixture;
    const id = await start(config);
    await until(() => stepOf(fixture, id) > 5);
    disk.fill(mebibyte);
    await until(() => runs.get(id).state === "PAUSED");
    assertEquals([runs.pause(id).state, runs.get(id).statusMessage], ["PAUSED", "Paused on request"]);
    disk.empty();
    await events(await start(quick));
    assertEquals([runs.get(id).state, runs.get(id).resumesItself], ["PAUSED", false]);
    runs.resume(id);
    assertWholeLog(await events(id), config);
  },
);

diskTest(
  "a run waits when there is no room for its first event",
  { minFreeDisk: 2 * mebibyte },
  async (fixture, disk) => {
    const { runs, start, events, engine } = fixture;
    disk.fill(mebibyte);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const id = await start(quick);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals([runs.get(id).state, engine.trainings], ["QUEUED", 0]);
    disk.empty();
    assertWholeLog(await events(id), quick);
  },
);

for (const left of [0, 8192, 40_000]) {
  diskTest(`a disk full to ${left} bytes loses nothing: the run goes on when there is room`, {
    minFreeDisk: 0,
  }, async (fixture, disk) => {
    const { runs, start, events } = fixture;
    const id = await start({ ...config, epochs: 150 });
    await until(() => stepOf(fixture, id) > 20);
    disk.fill(left);
    await until(() => runs.get(id).state === "PAUSED");
    const { statusMessage, resumesItself } = runs.get(id);
    assertEquals(resumesItself, true);
    assertMatch(statusMessage, /^No room /);
    assertEquals(runs.list({ limit: 1 }).runs[0].state, "PAUSED");
    disk.empty();
    assertWholeLog(await events(id), { ...config, epochs: 150 });
  });
}

diskTest("a call that finds no room is told so, and has changed nothing", { minFreeDisk: 0 }, async (fixture, disk) => {
  const { runs, start, store } = fixture;
  const id = await start(quick);
  await until(() => runs.get(id).state === "SUCCEEDED");
  disk.fill(0);
  let created = 0;
  const error = assertThrows(() => {
    for (;; created++) store.create({ id: `r${created}`, config, time: 1, requestDigest: "d" });
  }, StorageError);
  assertEquals(error.message, "No room on the server's disk");
  assertEquals(runs.list({ limit: 1000 }).runs.length, 1 + created);
  disk.empty();
  await start(quick);
});

diskTest("a data folder that becomes read-only pauses the run until it can be written", {
  minFreeDisk: 0,
}, async (fixture, disk) => {
  const { runs, start, events } = fixture;
  const id = await start(config);
  await until(() => stepOf(fixture, id) > 20);
  {
    using _ = makeReadOnly(disk.folder);
    await until(() => runs.get(id).state === "PAUSED");
    assertEquals([runs.get(id).resumesItself, runs.get(id).statusMessage], [true, "No room for a checkpoint"]);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assertEquals(runs.get(id).state, "PAUSED");
  }
  assertWholeLog(await events(id), config);
});

Deno.test(
  "a copy of the store made while a run trains opens and holds a log without gaps",
  withRuns(async (fixture) => {
    const { folder, start, events } = fixture;
    const path = join(folder, "runs.sqlite");
    const id = await start({ ...config, epochs: 50 });
    const copies: string[] = [];
    const training = events(id);
    for (let copy = 0; copy < 5; copy++) {
      const step = stepOf(fixture, id);
      await until(() => stepOf(fixture, id) > step + 5);
      // Both files between two transactions, and SQLite's own way.
      for (const suffix of ["", "-wal"]) Deno.copyFileSync(path + suffix, join(folder, `copy${copy}${suffix}`));
      const source = new DatabaseSync(path, { readOnly: true });
      await backup(source, join(folder, `backup${copy}`));
      source.close();
      copies.push(`copy${copy}`, `backup${copy}`);
    }
    const whole = await training;
    for (const copy of copies) {
      const store = RunStore.open(join(folder, copy));
      const log = store.events(id, 0, 1e6);
      assert(log.length > 3);
      assertEquals(log, whole.slice(0, log.length));
      assertEquals(store.get(id).lastSequence, sequences(log).at(-1));
      store.close();
    }
  }, { runs: { metricsInterval: 1 } }),
);
