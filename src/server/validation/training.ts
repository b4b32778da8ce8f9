/** Requests of TrainingService, but for the configuration of a run and exports. */
import {
  type ListRunEventsRequest,
  type ListRunsRequest,
  RunState as RunStateMessage,
  type WatchRunRequest,
} from "../../gen/mod.ts";
import type { EventQuery } from "../runs/event_pages.ts";
import { decodeEventsToken, decodePageToken } from "../runs/page_token.ts";
import { type RunState, runStates } from "../runs/state.ts";
import type { RunFilter } from "../runs/store.ts";
import { checkEnum, checkInteger, checkRunName, checkText } from "./fields.ts";

/** @returns undefined: none was given. @throws {InvalidFieldError} */
export function checkRequestId(value: string): string | undefined {
  return value === "" ? undefined : checkText("request_id", value, { min: 1, max: 128 });
}

/** @throws {InvalidFieldError} */
export function checkListRuns(request: ListRunsRequest): RunFilter {
  const { states } = request;
  return {
    limit: checkInteger("page_size", request.pageSize, { min: 0, max: 1000 }) || 50,
    before: decodePageToken(request.pageToken),
    states: states.length === 0 ? undefined : states.map((state, index) => checkState(`states[${index}]`, state)),
  };
}

const statesByNumber: Readonly<Record<number, RunState>> = Object.fromEntries(
  runStates.map((state) => [RunStateMessage[state], state]),
);

function checkState(field: string, state: number): RunState {
  return checkEnum(field, state, statesByNumber, `a state, such as RUN_STATE_RUNNING (${RunStateMessage.RUNNING})`);
}

/** @throws {InvalidFieldError} */
export function checkWatchRun(request: WatchRunRequest): { id: string; after: number } {
  return { id: checkRunName("name", request.name), after: request.afterSequence };
}

/** @throws {InvalidFieldError} */
export function checkListRunEvents(request: ListRunEventsRequest): EventQuery & { id: string } {
  return {
    id: checkRunName("name", request.name),
    after: request.afterSequence,
    limit: checkInteger("page_size", request.pageSize, { min: 0, max: 1000 }) || 500,
    windows: checkInteger("progress_windows", request.progressWindows, { min: 0, max: 100_000 }),
    position: decodeEventsToken(request.pageToken),
  };
}
