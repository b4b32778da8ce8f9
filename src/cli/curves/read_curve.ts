/** A run's log as curves of loss and accuracy. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metrics, Run, RunEvent } from "../../gen/mod.ts";
import type { Connection } from "../connection.ts";

/** Points of training that a curve has at most: a pixel or two of a drawing is one of them. */
const trainingPoints = 150;
const pageSize = 1000;
/** A log may be thinned out between two of its pages; it is then read anew. */
const attempts = 3;

export interface CurvePoint {
  /** Epochs done, with the fraction of the one that is going on. */
  readonly epoch: number;
  readonly loss: number;
  /** A fraction from 0 to 1. */
  readonly top1: number;
}

export interface Curve {
  /** Means over the steps since the point before. */
  readonly training: readonly CurvePoint[];
  /** On the test split, after epochs. */
  readonly evaluation: readonly CurvePoint[];
  /** All images trained on by the time that took; 0 before the first. */
  readonly imagesPerSecond: number;
}

/** Reads the curve of a run as far as it is, down-sampled by the server. */
export async function readCurve(connection: Connection, run: Run): Promise<Curve> {
  for (let attempt = 1;; attempt++) {
    try {
      return curveOf(await readEvents(connection, run.name), run);
    } catch (error) {
      if (attempt === attempts || !(error instanceof ConnectError) || error.code !== Code.OutOfRange) throw error;
    }
  }
}

async function readEvents({ training, quick }: Connection, name: string): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  let pageToken = "";
  do {
    const request = { name, pageSize, pageToken, progressWindows: trainingPoints };
    const page = await training.listRunEvents(request, quick);
    events.push(...page.events);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return events;
}

/** @param events of the run, in order */
export function curveOf(events: readonly RunEvent[], { progress }: Pick<Run, "progress">): Curve {
  const training: CurvePoint[] = [];
  const evaluation: CurvePoint[] = [];
  let images = 0;
  let seconds = 0;
  const epochsAStep = progress === undefined || progress.totalSteps === 0
    ? 0
    : progress.totalEpochs / progress.totalSteps;
  for (const { kind, step } of events) {
    if (kind.case !== "progress" && kind.case !== "evaluation") continue;
    const { metrics } = kind.value;
    if (metrics === undefined) continue;
    const point = pointAt(step * epochsAStep, metrics);
    if (kind.case === "evaluation") {
      evaluation.push(point);
      continue;
    }
    training.push(point);
    const { imagesPerSecond } = kind.value;
    if (imagesPerSecond > 0) {
      images += metrics.images;
      seconds += metrics.images / imagesPerSecond;
    }
  }
  return { training, evaluation, imagesPerSecond: seconds === 0 ? 0 : images / seconds };
}

function pointAt(epoch: number, { loss, top1 }: Metrics): CurvePoint {
  return { epoch, loss, top1 };
}
