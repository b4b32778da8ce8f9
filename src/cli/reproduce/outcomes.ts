/** What became of the planned runs, and what that says of a network. */
import { type Run, RunState } from "../../gen/mod.ts";
import type { Curve } from "../curves/read_curve.ts";
import type { PlannedRun } from "./plan.ts";

export type RunOutcome = FinishedRun | RefusedRun;

/** A run that has ended, well or not. */
export interface FinishedRun {
  readonly planned: PlannedRun;
  readonly run: Run;
  readonly curve: Curve;
}

/** A run that the server did not take. */
export interface RefusedRun {
  readonly planned: PlannedRun;
  readonly refusal: string;
}

export interface Statistics {
  readonly count: number;
  readonly mean: number;
  /** The sample's standard deviation; absent where there is but one value. */
  readonly deviation?: number;
}

/** Of the values; undefined where there are none. */
export function statisticsOf(values: readonly number[]): Statistics | undefined {
  const count = values.length;
  if (count === 0) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { count, mean };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { count, mean, deviation: Math.sqrt(squares / (count - 1)) };
}

export function isFinished(outcome: RunOutcome): outcome is FinishedRun {
  return "run" in outcome;
}

export function hasSucceeded(outcome: RunOutcome): outcome is FinishedRun {
  return isFinished(outcome) && outcome.run.state === RunState.SUCCEEDED;
}

/** The top-1 error of a run's last evaluation, in percent; undefined where it has none. */
export function errorOf({ run }: FinishedRun): number | undefined {
  return run.evaluation === undefined ? undefined : 100 * (1 - run.evaluation.top1);
}
