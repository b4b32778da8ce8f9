import { assertEquals, assertThrows } from "@std/assert";
import { RequestError } from "../../../src/server/errors.ts";
import { assertLegalMove, hasEnded, isLegalMove, runStates, unfinishedStates } from "../../../src/server/runs/state.ts";

Deno.test("isLegalMove() allows the documented moves and no other", () => {
  const legal = runStates.flatMap((from) =>
    runStates.filter((to) => isLegalMove(from, to)).map((to) => `${from} ${to}`)
  );
  assertEquals(legal.sort(), [
    "CANCELLING CANCELLED",
    "CANCELLING FAILED",
    "QUEUED CANCELLED",
    "QUEUED FAILED",
    "QUEUED RUNNING",
    "RUNNING CANCELLING",
    "RUNNING FAILED",
    "RUNNING SUCCEEDED",
  ]);
});

Deno.test("every unfinished state can fail, every ended one is final", () => {
  assertEquals(unfinishedStates.filter((state) => !isLegalMove(state, "FAILED")), []);
  assertEquals(runStates.filter(hasEnded), ["CANCELLED", "FAILED", "SUCCEEDED"]);
});

Deno.test("assertLegalMove() names the run and both states", () => {
  const error = assertThrows(() => assertLegalMove("abc", "SUCCEEDED", "RUNNING"), RequestError);
  assertEquals(error.kind, "failed-precondition");
  assertEquals(error.message, 'Run "runs/abc" is SUCCEEDED and cannot become RUNNING');
});
