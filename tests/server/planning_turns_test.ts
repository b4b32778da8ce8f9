import { assert, assertEquals, assertRejects } from "@std/assert";
import { RequestError } from "../../src/server/errors.ts";
import { mostPlans, PlanningTurns } from "../../src/server/planning_turns.ts";

Deno.test("PlanningTurns makes one plan at a time, in order, with as long a pause after each", async () => {
  const turns = new PlanningTurns();
  const log: string[] = [];
  const began = performance.now();
  const plan = (name: string) =>
    turns.take(async () => {
      log.push(`${name} begins`);
      await new Promise((resolve) => setTimeout(resolve, 40));
      log.push(`${name} ends`);
      return name;
    });
  assertEquals(await Promise.all([plan("a"), plan("b")]), ["a", "b"]);
  assertEquals(log, ["a begins", "a ends", "b begins", "b ends"]);
  assert(performance.now() - began > 110, "there was no pause");
});

Deno.test("PlanningTurns makes no plan for a caller that is gone", async () => {
  const turns = new PlanningTurns();
  let plans = 0;
  const plan = () => Promise.resolve(++plans);
  const first = turns.take(plan);
  const gone = assertRejects(() => turns.take(plan, AbortSignal.abort(new Error("gone"))), Error, "gone");
  assertEquals(await Promise.all([first, turns.take(plan)]), [1, 2]);
  await gone;
});

Deno.test("PlanningTurns goes on after a plan that fails, and refuses those that are too many", async () => {
  const turns = new PlanningTurns();
  const failing = assertRejects(() => turns.take(() => Promise.reject(new Error("too large"))), Error, "too large");
  const others = Array.from({ length: mostPlans - 1 }, (_, index) => turns.take(() => Promise.resolve(index)));
  const error = await assertRejects(() => turns.take(() => Promise.resolve(0)), RequestError, "At most 100 networks");
  assertEquals(error.kind, "resource-exhausted");
  await failing;
  assertEquals((await Promise.all(others)).length, mostPlans - 1);
  assertEquals(await turns.take(() => Promise.resolve("later")), "later");
});
