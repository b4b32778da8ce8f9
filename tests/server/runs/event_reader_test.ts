import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { EventReader } from "../../../src/server/runs/event_reader.ts";
import { RunStore } from "../../../src/server/runs/store.ts";

Deno.test("EventReader shares what it has read until the store changes", () => {
  const folder = Deno.makeTempDirSync();
  const store = RunStore.open(join(folder, "runs.sqlite"));
  const config = { model: { name: "m" }, dataset: "d" } as Parameters<typeof store.create>[0]["config"];
  store.create({ id: "a", config, time: 1, requestDigest: "" });
  const reader = new EventReader(store, 10);
  const first = reader.read("a", 0);
  assert(reader.read("a", 0) === first);
  assertEquals([first.events.length, first.ended, reader.read("a", 1)], [1, false, {
    kind: "events",
    events: [],
    ended: false,
  }]);
  store.move("a", { state: "CANCELLED" }, 2);
  reader.forget();
  assertEquals([reader.read("a", 0).events.length, reader.read("a", 1).events.length], [2, 1]);
  assertEquals(reader.read("a", 2), { kind: "events", events: [], ended: true });
  store.close();
  Deno.removeSync(folder, { recursive: true });
});
