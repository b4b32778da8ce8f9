/** Which run trains: the queue for the GPU, what becomes of a run after its turn, and the disk that all of it needs. */
import type { Engine } from "../../engine/mod.ts";
import type { Log } from "../log.ts";
import type { DiskSpace } from "./disk_space.ts";
import { type JobControl, RunQueue } from "./queue.ts";
import type { Run } from "./run.ts";
import type { RunLog } from "./run_log.ts";
import { StorageError } from "./storage_error.ts";
import type { Move, RunStore } from "./store.ts";
import { takeTurn, type TrainingTurnParts, type TurnEnd } from "./training_turn.ts";

export interface SchedulerOptions {
  readonly store: RunStore;
  readonly runs: RunLog;
  readonly engine: Engine;
  readonly log: Log;
  readonly disk: DiskSpace;
  /** Milliseconds between two looks at the disk. */
  readonly diskInterval: number;
  /** Milliseconds between two log entries of metrics. */
  readonly metricsInterval: number;
}

const interrupted = "The server stopped while the run was in progress; it goes on from its last checkpoint";
/** Of what close() may take, what a job gets to let go after it was aborted. */
const stopShare = 0.1;

export class RunScheduler {
  private readonly store: RunStore;
  private readonly runs: RunLog;
  private readonly log: Log;
  private readonly disk: DiskSpace;
  private readonly diskInterval: number;
  private readonly turn: TrainingTurnParts;
  private readonly queue = new RunQueue();
  private diskTimer: ReturnType<typeof setInterval> | undefined;
  /** Runs wait, because the disk takes nothing more. */
  private held = false;
  private closing = false;

  /** Queues what a server that is gone has left unfinished. */
  constructor(options: SchedulerOptions) {
    ({ store: this.store, runs: this.runs, log: this.log, disk: this.disk, diskInterval: this.diskInterval } = options);
    const { engine, runs, log, metricsInterval } = options;
    this.turn = { engine, runs, log, metricsInterval, beforeCheckpoint: () => this.watchDisk() };
    this.settleInterrupted();
    this.held = this.store.unfinished().some(({ resumesItself }) => resumesItself);
    this.queue.hold();
    for (const run of this.store.unfinished()) if (run.state === "QUEUED") this.enqueue(run);
  }

  /** Lets the runs train. */
  begin(): void {
    this.watchDisk();
    if (!this.held) this.queue.release();
    this.diskTimer = setInterval(() => this.watchDisk(), this.diskInterval);
  }

  /** The run that trains. */
  get active(): string | undefined {
    return this.queue.active;
  }

  /** Runs that wait. */
  get queued(): number {
    return this.queue.length;
  }

  /** @param run QUEUED */
  enqueue({ id, queueOrder }: Run): void {
    this.queue.add({ id, order: queueOrder, job: (control) => this.train(id, control) });
  }

  /** Takes a run out of the queue; false: it does not wait. */
  dequeue(id: string): boolean {
    return this.queue.remove(id);
  }

  /** Lets a run that is PAUSING write its checkpoint and end its turn. */
  pause(id: string): void {
    void this.queue.pause(id);
  }

  /** Ends the turn of a run that is CANCELLING. */
  cancel(id: string): void {
    void this.queue.stop(id, new DOMException("The run was cancelled", "AbortError"));
  }

  /**
   * Ends the turn of the active run with a checkpoint, within `patience` milliseconds or without one. What was in
   * progress goes on when a server is started on the data folder again.
   */
  async close(patience: number): Promise<void> {
    this.closing = true;
    clearInterval(this.diskTimer);
    this.queue.clear();
    const { active } = this.queue;
    if (active !== undefined && !await within(this.queue.pause(active), patience * (1 - stopShare))) {
      const stopped = new DOMException("The server stopped", "AbortError");
      await within(this.queue.stop(active, stopped), patience * stopShare);
    }
    this.settleInterrupted();
  }

  /** What is to be said of runs that were in progress when their server ended. */
  private settleInterrupted(): void {
    this.writeKept();
    for (const { id, state, statusMessage, resumesItself } of this.store.unfinished()) {
      if (state === "RUNNING") this.runs.settle(id, { state: "QUEUED", statusMessage: interrupted });
      else if (state === "PAUSING") this.runs.settle(id, { state: "PAUSED", statusMessage, resumesItself });
      else if (state === "CANCELLING") this.runs.settle(id, { state: "CANCELLED", statusMessage });
    }
  }

  /** @returns whether the disk took all. */
  private writeKept(): boolean {
    try {
      this.runs.writeKept();
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return false;
    }
  }

  /** One run's turn on the GPU; never throws. */
  private async train(id: string, control: JobControl): Promise<void> {
    try {
      this.runs.move(id, { state: "RUNNING" });
    } catch (error) {
      this.log.error("run could not be started", error, { run: id });
      if (!(error instanceof StorageError)) return;
      this.hold(error.message);
      return this.enqueue(this.store.get(id));
    }
    try {
      this.finish(id, await takeTurn(this.turn, id, control));
    } catch (error) {
      this.log.error("run could not be ended", error, { run: id });
    }
  }

  private finish(id: string, end: TurnEnd): void {
    const move = this.moveAfter(this.runs.get(id), end);
    const problem = move && this.runs.settle(id, move);
    if (end.kind === "no-room") this.hold(end.reason);
    else if (problem) this.hold(problem.message);
    // There may be room again since it was told to pause; the next look at the disk resumes it.
    else if (move?.resumesItself) this.hold(move.statusMessage ?? "");
  }

  /** Undefined: `close()` says what becomes of it. */
  private moveAfter({ state, statusMessage, resumesItself }: Run, end: TurnEnd): Move | undefined {
    if (state === "CANCELLING") return { state: "CANCELLED", statusMessage };
    switch (end.kind) {
      case "stopped":
        return undefined;
      case "succeeded":
        return { state: "SUCCEEDED" };
      case "failed":
        return { state: "FAILED", statusMessage: end.reason };
      case "paused":
        // Asked to by close().
        if (state === "RUNNING") return undefined;
        return { state: "PAUSED", statusMessage: end.reason ?? statusMessage, resumesItself };
      case "blocked":
        return { state: "PAUSED", statusMessage: end.reason };
      case "no-room":
        return { state: "PAUSED", statusMessage: end.reason, resumesItself: state === "RUNNING" || resumesItself };
    }
  }

  /** Pauses the active run when the disk gets full; lets the runs go on when there is room. */
  private watchDisk(): void {
    if (this.closing) return;
    try {
      if (!this.held) {
        const shortage = this.disk.shortage();
        if (shortage !== undefined) this.hold(shortage);
      } else if (this.disk.hasRoom() && this.writeKept()) {
        this.releaseAll();
      }
    } catch (error) {
      // Looked at again, and again.
      this.log.error("the disk could not be used", error);
    }
  }

  private hold(reason: string): void {
    if (!this.held) this.log.info("runs wait for room on the disk", { reason });
    this.held = true;
    this.queue.hold();
    const { active } = this.queue;
    if (active === undefined || this.runs.get(active).state !== "RUNNING") return;
    this.runs.settle(active, { state: "PAUSING", statusMessage: reason, resumesItself: true });
    this.pause(active);
  }

  private releaseAll(): void {
    for (const { id, state, resumesItself } of this.store.unfinished()) {
      if (state !== "PAUSED" || !resumesItself) continue;
      this.runs.move(id, { state: "QUEUED", statusMessage: "The server's disk has room again" });
      this.enqueue(this.store.get(id));
    }
    this.held = false;
    this.queue.release();
  }
}

/** @returns whether the promise settled in time. */
async function within(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), milliseconds);
  const inTime = await Promise.race([promise.then(() => true), timeout]);
  clearTimeout(timer);
  return inTime;
}
