/** A run as the store keeps it, and the entries of its log. Times are milliseconds since 1970, UTC. */
import type { CheckpointInfo, Metrics, RefusedCheckpoint, TrainingConfig } from "../../engine/mod.ts";
import { hasEnded, type RunState } from "./state.ts";

export interface Run {
  /** Without "runs/". */
  readonly id: string;
  readonly state: RunState;
  readonly config: TrainingConfig;
  readonly createTime: number;
  readonly startTime?: number;
  readonly endTime?: number;
  readonly progress?: RunProgress;
  /** The last on the test split. */
  readonly evaluation?: Metrics;
  /** The step after which it was made. */
  readonly evaluationStep?: number;
  readonly statusMessage: string;
  /** Paused by the server, which resumes it. */
  readonly resumesItself: boolean;
  /** Of the first event that can be watched. */
  readonly earliestSequence: number;
  /** Of the newest event; 0 before the first. */
  readonly lastSequence: number;
  /** Of the newest event. */
  readonly lastTime: number;
  readonly attempt: number;
  /** How often it was taken up again after a fault. */
  readonly retries: number;
  /** Those on disk, oldest first. */
  readonly checkpoints: readonly RunCheckpoint[];
  /** Runs wait for the GPU in this order. */
  readonly queueOrder: number;
}

export interface RunCheckpoint extends CheckpointInfo {
  /** The best so far when it was written. */
  readonly best: boolean;
}

export interface RunProgress {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly training: Metrics;
  readonly imagesPerSecond: number;
  readonly secondsLeft?: number;
}

export interface StateBody {
  readonly kind: "state";
  readonly state: RunState;
  readonly statusMessage: string;
  /** Of PAUSING and PAUSED. */
  readonly resumesItself?: boolean;
  /** Of RUNNING: taken up again after a fault. */
  readonly retry?: boolean;
}

export interface ProgressBody {
  readonly kind: "progress";
  /** Of the steps from this one to the event's own. */
  readonly firstStep: number;
  readonly metrics: Metrics;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  /** Seconds that the steps waited for their batches; absent in older logs. */
  readonly dataWait?: number;
  readonly totalSteps: number;
  readonly secondsLeft?: number;
}

/** What an entry of a run's log tells. */
export type RunEventBody =
  | StateBody
  | ProgressBody
  | { readonly kind: "resumed"; readonly from?: RunCheckpoint; readonly refused: readonly RefusedCheckpoint[] }
  | {
    readonly kind: "preparing";
    readonly pipelinesReady: number;
    readonly pipelinesTotal: number;
    readonly tuning?: { readonly done: number; readonly total: number };
  }
  | { readonly kind: "evaluation"; readonly metrics: Metrics }
  | {
    readonly kind: "checkpoint";
    readonly checkpoint: CheckpointInfo;
    readonly best: boolean;
    /** Paths on disk after it was written. */
    readonly kept: readonly string[];
  };

/** An event before the store has numbered it. */
export interface RunEventEntry {
  readonly step: number;
  readonly epoch: number;
  readonly body: RunEventBody;
}

export interface RunEvent extends RunEventEntry {
  /** Id of the run. */
  readonly run: string;
  /** From 1, without gaps. */
  readonly sequence: number;
  /** Never before that of the event before. */
  readonly time: number;
  readonly attempt: number;
}

/** The event that an entry becomes at the end of a run's log. */
export function nextEvent(run: Run, entry: RunEventEntry, time: number): RunEvent {
  return {
    ...entry,
    run: run.id,
    sequence: run.lastSequence + 1,
    // The clock of a machine may be set back.
    time: Math.max(time, run.lastTime),
    attempt: isTakenUpAgain(run, entry.body) ? run.attempt + 1 : run.attempt,
  };
}

function isTakenUpAgain(run: Run, body: RunEventBody): boolean {
  return body.kind === "state" && body.state === "RUNNING" && run.startTime !== undefined;
}

/** The run after an event: a run's row is the fold of its log. */
export function applyEvent(run: Run, event: RunEvent): Run {
  const { body, sequence: lastSequence, time: lastTime, attempt } = event;
  const next = { ...run, lastSequence, lastTime, attempt };
  switch (body.kind) {
    case "state":
      return {
        ...next,
        state: body.state,
        statusMessage: body.statusMessage,
        resumesItself: body.resumesItself ?? false,
        retries: run.retries + (body.retry ? 1 : 0),
        startTime: body.state === "RUNNING" ? run.startTime ?? event.time : run.startTime,
        endTime: hasEnded(body.state) ? event.time : undefined,
      };
    case "progress":
      return { ...next, progress: progressOf(event.step, event.epoch, body) };
    case "evaluation":
      return { ...next, evaluation: body.metrics, evaluationStep: event.step };
    case "resumed":
      return { ...next, checkpoints: checkpointsAtResume(run.checkpoints, body) };
    case "checkpoint":
      return { ...next, checkpoints: checkpointsAfter(run.checkpoints, body) };
    case "preparing":
      return next;
  }
}

/** The one gone on from may have been written without being told of. */
function checkpointsAtResume(
  checkpoints: readonly RunCheckpoint[],
  { from, refused }: RunEventBody & { kind: "resumed" },
): RunCheckpoint[] {
  const good = checkpoints.filter(({ path }) => !refused.some((one) => one.path === path));
  return !from || good.some(({ path }) => path === from.path) ? good : [...good, from];
}

/** The newest entry of each path that is still there: a resumed run may write a checkpoint's name again. */
function checkpointsAfter(
  checkpoints: readonly RunCheckpoint[],
  { checkpoint, best, kept }: RunEventBody & { kind: "checkpoint" },
): RunCheckpoint[] {
  const older = checkpoints.map((one) => best ? { ...one, best: false } : one);
  const byPath = new Map([...older, { ...checkpoint, best }].map((one) => [one.path, one]));
  return kept.flatMap((path) => byPath.get(path) ?? []);
}

function progressOf(step: number, epoch: number, body: ProgressBody): RunProgress {
  const { metrics: training, totalSteps, imagesPerSecond, secondsLeft } = body;
  return { step, epoch, totalSteps, training, imagesPerSecond, secondsLeft };
}
