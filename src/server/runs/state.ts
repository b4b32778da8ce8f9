/** The states of a run and the moves between them. */
import { RequestError } from "../errors.ts";

export type RunState =
  | "QUEUED"
  | "RUNNING"
  | "PAUSING"
  | "PAUSED"
  | "CANCELLING"
  | "CANCELLED"
  | "FAILED"
  | "SUCCEEDED";

/** Every legal move; a state without moves is an end. */
const moves: Readonly<Record<RunState, readonly RunState[]>> = {
  QUEUED: ["RUNNING", "PAUSED", "CANCELLED", "FAILED"],
  // To itself: taken up again after a fault. To QUEUED: the server stopped. To PAUSED: no room for a checkpoint, or it cannot go on.
  RUNNING: ["RUNNING", "QUEUED", "PAUSING", "PAUSED", "CANCELLING", "FAILED", "SUCCEEDED"],
  // To itself: a user wants it too. To SUCCEEDED: the last step came first.
  PAUSING: ["PAUSING", "PAUSED", "CANCELLING", "FAILED", "SUCCEEDED"],
  // To itself: a user wants it too.
  PAUSED: ["PAUSED", "QUEUED", "CANCELLED"],
  CANCELLING: ["CANCELLED", "FAILED"],
  CANCELLED: [],
  FAILED: [],
  SUCCEEDED: [],
};

export const runStates = Object.keys(moves) as readonly RunState[];

/** Whether nothing can happen to a run any more. */
export function hasEnded(state: RunState): boolean {
  return moves[state].length === 0;
}

/** The states that have a move left. */
export const unfinishedStates: readonly RunState[] = runStates.filter((state) => !hasEnded(state));

export function isLegalMove(from: RunState, to: RunState): boolean {
  return moves[from].includes(to);
}

/** @throws {RequestError} failed-precondition, naming both states. */
export function assertLegalMove(run: string, from: RunState, to: RunState): void {
  if (isLegalMove(from, to)) return;
  throw new RequestError("failed-precondition", `Run "runs/${run}" is ${from} and cannot become ${to}`);
}
