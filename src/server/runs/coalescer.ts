/** Bounds the rate of a run's metrics: a training step may take a millisecond, a log entry every quarter second is enough. */
import type { Metrics, TrainingEvent } from "../../engine/mod.ts";

type ProgressEvent = TrainingEvent & { kind: "progress" };

/**
 * Passes a job's events on, in order. `progress` and `preparing` events that come within an interval become one:
 * the newest, with its metrics the means over the images of all; other events pass at once, after what waits.
 */
export class EventCoalescer {
  private waiting: TrainingEvent | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastPassed = -Infinity;

  /**
   * @param pass takes an event; called from `push()`, `flush()` and a timer
   * @param interval in milliseconds
   * @param now in milliseconds
   */
  constructor(
    private readonly pass: (event: TrainingEvent) => void,
    private readonly interval: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  push(event: TrainingEvent): void {
    const isBounded = event.kind === "progress" || event.kind === "preparing";
    if (!isBounded || this.waiting && this.waiting.kind !== event.kind) this.flush();
    if (!isBounded) return this.pass(event);
    this.waiting = merge(this.waiting, event);
    const rest = this.lastPassed + this.interval - this.now();
    if (rest <= 0) this.flush();
    // The timer passes the last event on when the job is silent for long: an evaluation, a slow step.
    else this.timer ??= setTimeout(() => this.flush(), rest);
  }

  /** Passes on what waits; to be called when the job has ended. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const event = this.waiting;
    if (!event) return;
    this.waiting = undefined;
    this.lastPassed = this.now();
    this.pass(event);
  }
}

function merge(older: TrainingEvent | undefined, newer: TrainingEvent): TrainingEvent {
  if (older?.kind !== "progress" || newer.kind !== "progress") return newer;
  return { ...newer, metrics: meanOf(older, newer) };
}

function meanOf({ metrics: a }: ProgressEvent, { metrics: b }: ProgressEvent): Metrics {
  const images = a.images + b.images;
  const mean = (x: number, y: number) => images === 0 ? y : (x * a.images + y * b.images) / images;
  return { loss: mean(a.loss, b.loss), top1: mean(a.top1, b.top1), top5: mean(a.top5, b.top5), images };
}
