/** Windows of training steps: progress events that follow each other, made one. */
import type { Metrics } from "../../engine/mod.ts";
import type { ProgressBody, RunEvent } from "./run.ts";

/** The window of two that follow each other: means over the images of both, waiting summed, the rest as the newer has it. */
export function mergeProgress(older: ProgressBody, newer: ProgressBody): ProgressBody {
  return {
    ...newer,
    firstStep: older.firstStep,
    metrics: meanOf(older.metrics, newer.metrics),
    imagesPerSecond: speedOf(older, newer),
    dataWait: (older.dataWait ?? 0) + (newer.dataWait ?? 0),
  };
}

function meanOf(a: Metrics, b: Metrics): Metrics {
  const images = a.images + b.images;
  const mean = (x: number, y: number) => images === 0 ? y : (x * a.images + y * b.images) / images;
  return { loss: mean(a.loss, b.loss), top1: mean(a.top1, b.top1), top5: mean(a.top5, b.top5), images };
}

/** All images by the time of all. */
function speedOf(a: ProgressBody, b: ProgressBody): number {
  const seconds = a.metrics.images / a.imagesPerSecond + b.metrics.images / b.imagesPerSecond;
  return seconds > 0 && Number.isFinite(seconds) ? (a.metrics.images + b.metrics.images) / seconds : b.imagesPerSecond;
}

type ProgressEvent = RunEvent & { readonly body: ProgressBody };

export function isProgress(event: RunEvent): event is ProgressEvent {
  return event.body.kind === "progress";
}

/**
 * Down-samples a log: the progress events whose last steps lie in the same `width` steps become one, with the sequence
 * and time of the last; all other events pass.
 * @param events in order, as the result is
 */
export function* thin(events: Iterable<RunEvent>, width: number): Generator<RunEvent> {
  let window: ProgressEvent | undefined;
  // Those that came while a window was open; its sequence may grow past theirs.
  let others: RunEvent[] = [];
  const close = () => {
    const closed = window ? [...others, window] : others;
    window = undefined;
    others = [];
    return closed.sort((a, b) => a.sequence - b.sequence);
  };
  for (const event of events) {
    if (!isProgress(event)) {
      others.push(event);
    } else if (window && slotOf(window, width) === slotOf(event, width)) {
      window = { ...event, body: mergeProgress(window.body, event.body) };
    } else {
      yield* close();
      window = event;
    }
  }
  yield* close();
}

/** Which of the spans of `width` steps an event's last step is in. */
export function slotOf({ step }: RunEvent, width: number): number {
  return Math.floor((step - 1) / width);
}
