/** Rows of the run store, to and from `Run` and `RunEvent`. */
import { fromJson, toJson } from "./json.ts";
import type { Run, RunEvent } from "./run.ts";
import { type RunState, runStates } from "./state.ts";

type Value = string | number | bigint | Uint8Array | null;
type Row = Record<string, Value | undefined>;

export function readRun(row: Row): Run {
  return {
    id: text(row, "id"),
    state: readState(text(row, "state")),
    config: json(row, "config"),
    createTime: number(row, "create_time"),
    startTime: optional(row, "start_time", number),
    endTime: optional(row, "end_time", number),
    progress: optional(row, "progress", json<NonNullable<Run["progress"]>>),
    evaluation: optional(row, "evaluation", json<NonNullable<Run["evaluation"]>>),
    evaluationStep: optional(row, "evaluation_step", number),
    statusMessage: text(row, "status_message"),
    resumesItself: number(row, "resumes_itself") === 1,
    earliestSequence: number(row, "earliest_sequence"),
    lastSequence: number(row, "last_sequence"),
    lastTime: number(row, "last_time"),
    attempt: number(row, "attempt"),
    retries: number(row, "retries"),
    checkpoints: json(row, "checkpoints"),
    queueOrder: number(row, "queue_order"),
  };
}

/** What of a run events change, by column. */
export function runColumns(run: Run): Record<string, string | number | null> {
  return {
    state: run.state,
    start_time: run.startTime ?? null,
    end_time: run.endTime ?? null,
    progress: run.progress ? toJson(run.progress) : null,
    evaluation: run.evaluation ? toJson(run.evaluation) : null,
    evaluation_step: run.evaluationStep ?? null,
    status_message: run.statusMessage,
    resumes_itself: Number(run.resumesItself),
    last_sequence: run.lastSequence,
    last_time: run.lastTime,
    attempt: run.attempt,
    retries: run.retries,
    checkpoints: toJson(run.checkpoints),
  };
}

export function readEvent(row: Row): RunEvent {
  return {
    run: text(row, "run"),
    sequence: number(row, "sequence"),
    time: number(row, "time"),
    attempt: number(row, "attempt"),
    step: number(row, "step"),
    epoch: number(row, "epoch"),
    body: json(row, "body"),
  };
}

function readState(value: string): RunState {
  const state = runStates.find((known) => known === value);
  if (!state) throw new Error(`The store has a run in the unknown state "${value}"`);
  return state;
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  throw new Error(`Column ${column} of the store must be a text, got ${value}`);
}

function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === "number") return value;
  throw new Error(`Column ${column} of the store must be a number, got ${value}`);
}

function json<T>(row: Row, column: string): T {
  return fromJson(text(row, column));
}

function optional<T>(row: Row, column: string, read: (row: Row, column: string) => T): T | undefined {
  return row[column] === null ? undefined : read(row, column);
}
