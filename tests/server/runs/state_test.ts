import { assertEquals, assertThrows } from "@std/assert";
import { RequestError } from "../../../src/server/errors.ts";
import {
  assertLegalMove,
  hasEnded,
  isLegalMove,
  type RunState,
  runStates,
  unfinishedStates,
} from "../../../src/server/runs/state.ts";

Deno.test("isLegalMove() allows the documented moves and no other", () => {
  const legal = runStates.flatMap((from) =>
    runStates.filter((to) => isLegalMove(from, to)).map((to) => `${from} ${to}`)
  );
  assertEquals(legal.sort(), [
    "CANCELLING CANCELLED",
    "CANCELLING FAILED",
    "PAUSED CANCELLED",
    "PAUSED PAUSED",
    "PAUSED QUEUED",
    "PAUSING CANCELLING",
    "PAUSING FAILED",
    "PAUSING PAUSED",
    "PAUSING PAUSING",
    "PAUSING SUCCEEDED",
    "QUEUED CANCELLED",
    "QUEUED FAILED",
    "QUEUED PAUSED",
    "QUEUED RUNNING",
    "RUNNING CANCELLING",
    "RUNNING FAILED",
    "RUNNING PAUSED",
    "RUNNING PAUSING",
    "RUNNING QUEUED",
    "RUNNING RUNNING",
    "RUNNING SUCCEEDED",
  ]);
});

Deno.test("every state leads to an end, and ends are final", () => {
  const leadsToEnd = (from: RunState) => runStates.some((to) => hasEnded(to) && isLegalMove(from, to));
  assertEquals(unfinishedStates.filter((state) => !leadsToEnd(state)), []);
  assertEquals(runStates.filter(hasEnded), ["CANCELLED", "FAILED", "SUCCEEDED"]);
});

Deno.test("assertLegalMove() names the run and both states", () => {
  const error = assertThrows(() => assertLegalMove("abc", "SUCCEEDED", "RUNNING"), RequestError);
  assertEquals(error.kind, "failed-precondition");
  assertEquals(error.message, 'Run "runs/abc" is SUCCEEDED and cannot become RUNNING');
});
