import { join } from "node:path";
import { assertEquals, assertThrows } from "@std/assert";
import { Log } from "../../../src/server/log.ts";
import { RunFeed } from "../../../src/server/runs/run_feed.ts";
import { RunLog } from "../../../src/server/runs/run_log.ts";
import { StorageError } from "../../../src/server/runs/storage_error.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { quick } from "../../support/training_runs.ts";

Deno.test("RunLog.delete() that finds no room leaves the run as it is known, with what could not be written", () => {
  const folder = Deno.makeTempDirSync();
  const store = RunStore.open(join(folder, "runs.sqlite"));
  const feed = new RunFeed({ store, heartbeatInterval: 1_000, batch: 10 });
  const runs = new RunLog({ store, feed, log: new Log(() => {}), keptEvents: 100, now: Date.now });
  store.create({ id: "a", config: quick, time: 0, requestDigest: "d" });
  const [move, remove] = [store.move.bind(store), store.delete.bind(store)];
  const refuse = () => {
    throw new StorageError("No room on the server's disk");
  };
  store.move = refuse;
  store.delete = refuse;
  assertEquals(runs.settle("a", { state: "CANCELLED" })?.message, "No room on the server's disk");
  assertThrows(() => runs.delete("a"), StorageError);
  assertEquals([runs.get("a").state, store.get("a").state], ["CANCELLED", "QUEUED"]);
  store.move = move;
  store.delete = remove;
  runs.writeKept();
  assertEquals(store.get("a").state, "CANCELLED");
  runs.delete("a");
  assertEquals(store.list({ limit: 1 }).runs, []);
  store.close();
  Deno.removeSync(folder, { recursive: true });
});
