/** What happens to runs, written down and told to those who watch. */
import type { Log } from "../log.ts";
import type { RunFeed } from "./run_feed.ts";
import type { Run, RunEventEntry } from "./run.ts";
import { StorageError } from "./storage_error.ts";
import type { Move, Page, RunFilter, RunStore } from "./store.ts";

export interface RunLogOptions {
  readonly store: RunStore;
  readonly feed: RunFeed;
  readonly log: Log;
  /** Newest events of a run that stay as they are, to be watched; those before are thinned out. */
  readonly keptEvents: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Windows that the progress of the events thinned out is kept in, at most. */
const oldWindows = 1000;

export class RunLog {
  private readonly store: RunStore;
  private readonly feed: RunFeed;
  private readonly log: Log;
  private readonly keptEvents: number;
  private readonly now: () => number;
  /** What became of runs while the disk took nothing; written when it does. */
  private readonly unwritten = new Map<string, Move>();
  private closed = false;

  constructor(options: RunLogOptions) {
    ({ store: this.store, feed: this.feed, log: this.log, keptEvents: this.keptEvents, now: this.now } = options);
  }

  /** @throws {RequestError} not-found. */
  get(id: string): Run {
    return this.asKnown(this.store.get(id));
  }

  list(filter: RunFilter): Page {
    const { runs, next } = this.store.list(filter);
    return { runs: runs.map((run) => this.asKnown(run)), next };
  }

  /** @throws {RequestError} an illegal move. {StorageError} */
  move(id: string, move: Move): void {
    if (this.closed) return;
    this.writeKept();
    this.store.move(id, move, this.now());
    this.log.info("run state", { run: id, state: move.state, status: move.statusMessage });
    this.feed.announce(id);
  }

  /**
   * Moves a run whose job is over, which is true whether the disk takes it or not.
   * @returns why it could not be written yet; undefined: it is.
   */
  settle(id: string, move: Move): StorageError | undefined {
    try {
      this.move(id, move);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.unwritten.set(id, move);
      this.log.error("run state could not be written yet", error, { run: id, state: move.state });
      return error;
    }
  }

  /** Writes what the disk did not take when it happened. @throws {StorageError} */
  writeKept(): void {
    for (const [id, move] of this.unwritten) {
      this.store.move(id, move, this.now());
      this.unwritten.delete(id);
      this.log.info("run state", { run: id, state: move.state, status: move.statusMessage });
      this.feed.announce(id);
    }
  }

  /** @throws {StorageError} */
  append(id: string, entry: RunEventEntry): void {
    // An engine slower to stop than close() waits.
    if (this.closed) return;
    const { sequence } = this.store.append(id, entry, this.now());
    if (sequence % Math.ceil(this.keptEvents / 4) === 0) this.thinOut(id);
    this.feed.announce(id);
  }

  /** Makes what was written outlive a power cut. @throws {StorageError} */
  sync(): void {
    if (!this.closed) this.store.sync();
  }

  /** @throws {StorageError} */
  delete(id: string): void {
    this.store.delete(id);
    this.unwritten.delete(id);
    this.feed.announce(id);
  }

  /** From now on nothing is written. */
  close(): void {
    this.closed = true;
  }

  private asKnown(run: Run): Run {
    const move = this.unwritten.get(run.id);
    return move ? { ...run, statusMessage: "", resumesItself: false, ...move } : run;
  }

  private thinOut(id: string): void {
    const { lastSequence, earliestSequence, progress } = this.store.get(id);
    const before = lastSequence - this.keptEvents + 1;
    if (before <= earliestSequence) return;
    try {
      this.store.thinOut(id, { before, width: Math.ceil((progress?.step ?? 0) / oldWindows) || 1 });
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.log.error("log could not be thinned out yet", error, { run: id });
    }
  }
}
