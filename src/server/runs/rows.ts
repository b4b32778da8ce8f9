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
    statusMessage: text(row, "status_message"),
    lastSequence: number(row, "last_sequence"),
    attempt: number(row, "attempt"),
    checkpoints: json(row, "checkpoints"),
  };
}

/** The values of the columns that events change, in the order of RunStore's UPDATE. */
export function runColumns(run: Run): (string | number | null)[] {
  return [
    run.state,
    run.startTime ?? null,
    run.endTime ?? null,
    run.progress ? toJson(run.progress) : null,
    run.evaluation ? toJson(run.evaluation) : null,
    run.statusMessage,
    run.lastSequence,
    run.attempt,
    toJson(run.checkpoints),
  ];
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
