/** Bounds the rate of a run's metrics: a training step may take a millisecond, a log entry every quarter second is enough. */
import { mergeProgress } from "./progress_windows.ts";
import type { RunEventEntry } from "./run.ts";

/**
 * Passes a run's entries on, in order. `progress` and `preparing` that come within an interval become one: the newest,
 * with the metrics of all; others pass at once, after what waits.
 */
export class EventCoalescer {
  private waiting: RunEventEntry | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastPassed = -Infinity;

  /**
   * @param pass takes an entry; called from `push()`, `flush()` and a timer
   * @param interval in milliseconds
   * @param now in milliseconds
   */
  constructor(
    private readonly pass: (entry: RunEventEntry) => void,
    private readonly interval: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  push(entry: RunEventEntry): void {
    const { kind } = entry.body;
    const isBounded = kind === "progress" || kind === "preparing";
    if (!isBounded || this.waiting && this.waiting.body.kind !== kind) this.flush();
    if (!isBounded) return this.pass(entry);
    this.waiting = merge(this.waiting, entry);
    const rest = this.lastPassed + this.interval - this.now();
    if (rest <= 0) this.flush();
    // The timer passes the last event on when the job is silent for long: an evaluation, a slow step.
    else this.timer ??= setTimeout(() => this.flush(), rest);
  }

  /** Passes on what waits; to be called when the job has ended. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const entry = this.waiting;
    if (!entry) return;
    this.waiting = undefined;
    this.lastPassed = this.now();
    this.pass(entry);
  }
}

function merge(older: RunEventEntry | undefined, newer: RunEventEntry): RunEventEntry {
  if (older?.body.kind !== "progress" || newer.body.kind !== "progress") return newer;
  return { ...newer, body: mergeProgress(older.body, newer.body) };
}
