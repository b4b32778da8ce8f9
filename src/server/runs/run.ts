/** A run as the store keeps it, and the entries of its log. Times are milliseconds since 1970, UTC. */
import type { CheckpointInfo, Metrics, TrainingConfig } from "../../engine/mod.ts";
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
  readonly statusMessage: string;
  /** Of the newest event; 0 before the first. */
  readonly lastSequence: number;
  readonly attempt: number;
  /** Newest last. */
  readonly checkpoints: readonly CheckpointInfo[];
}

export interface RunProgress {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly training: Metrics;
  readonly imagesPerSecond: number;
  readonly secondsLeft?: number;
}

/** What an entry of a run's log tells. */
export type RunEventBody =
  | { readonly kind: "state"; readonly state: RunState; readonly statusMessage: string }
  | {
    readonly kind: "preparing";
    readonly pipelinesReady: number;
    readonly pipelinesTotal: number;
    readonly tuning?: { readonly done: number; readonly total: number };
  }
  | {
    readonly kind: "progress";
    readonly metrics: Metrics;
    readonly learningRate: number;
    readonly imagesPerSecond: number;
    readonly totalSteps: number;
    readonly secondsLeft?: number;
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
  readonly time: number;
  readonly attempt: number;
}

/** The run after an event: a run's row is the fold of its log. */
export function applyEvent(run: Run, event: RunEvent): Run {
  const next = { ...run, lastSequence: event.sequence };
  const { body } = event;
  switch (body.kind) {
    case "state":
      return {
        ...next,
        state: body.state,
        statusMessage: body.statusMessage,
        startTime: body.state === "RUNNING" ? run.startTime ?? event.time : run.startTime,
        endTime: hasEnded(body.state) ? event.time : undefined,
      };
    case "progress":
      return { ...next, progress: progressOf(event.step, event.epoch, body) };
    case "evaluation":
      return { ...next, evaluation: body.metrics };
    case "checkpoint":
      return { ...next, checkpoints: checkpointsOnDisk([...run.checkpoints, body.checkpoint], body.kept) };
    case "preparing":
      return next;
  }
}

/** The newest entry of each path that is still there: a resumed run may write a checkpoint's name again. */
function checkpointsOnDisk(checkpoints: readonly CheckpointInfo[], kept: readonly string[]): CheckpointInfo[] {
  const byPath = new Map(checkpoints.map((checkpoint) => [checkpoint.path, checkpoint]));
  return kept.flatMap((path) => byPath.get(path) ?? []);
}

function progressOf(step: number, epoch: number, body: RunEventBody & { kind: "progress" }): RunProgress {
  const { metrics: training, totalSteps, imagesPerSecond, secondsLeft } = body;
  return { step, epoch, totalSteps, training, imagesPerSecond, secondsLeft };
}
