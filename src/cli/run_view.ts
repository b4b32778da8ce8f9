/** How a run and its events are shown: to people as they come, to programs as flat JSON objects. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  CheckpointSchema,
  type Metrics,
  MetricsSchema,
  type Preparing,
  PreparingSchema,
  ResumedSchema,
  type Run,
  type RunEvent,
  RunState,
  RunStateSchema,
  StateChangedSchema,
  type TrainingProgress,
  TrainingProgressSchema,
} from "../gen/mod.ts";
import { formatBytes, formatDuration, formatFraction, formatLoss, formatRate } from "./format.ts";
import type { Output } from "./output.ts";
import type { ProgressState } from "./progress.ts";
import { enumName, type JsonObject, messageToJson } from "./proto_json.ts";

export function stateName(state: RunState): string {
  return enumName(RunStateSchema, state);
}

/** Shows the events of one run, in order. */
export class RunView {
  readonly #output: Output;
  readonly #totalEpochs: number | undefined;

  constructor(output: Output, totalEpochs?: number) {
    this.#output = output;
    this.#totalEpochs = totalEpochs;
  }

  show(event: RunEvent): void {
    this.#output.object(eventJson(event));
    const { progress } = this.#output;
    const { kind, run, step } = event;
    switch (kind.case) {
      case "stateChanged":
        progress.note(`${run} is ${stateName(kind.value.state)}${because(kind.value.statusMessage)}`);
        break;
      case "preparing":
        progress.update(preparation(kind.value));
        break;
      case "progress":
        progress.update({ done: step, total: kind.value.totalSteps, text: this.#progressText(event, kind.value) });
        break;
      case "evaluation": {
        const metrics = kind.value.metrics;
        if (metrics !== undefined) {
          progress.note(
            `step ${step}: test loss ${formatLoss(metrics.loss)}, top-1 ${formatFraction(metrics.top1)}, ` +
              `top-5 ${formatFraction(metrics.top5)}`,
          );
        }
        break;
      }
      case "checkpoint":
        progress.note(`step ${step}: checkpoint ${kind.value.path} (${formatBytes(kind.value.bytes)})`);
        break;
      case "resumed":
        for (const { path, reason } of kind.value.refused) progress.note(`Checkpoint ${path} is not used: ${reason}`);
        progress.note(
          kind.value.from === undefined ? `${run} starts anew` : `${run} goes on from ${kind.value.from.path}`,
        );
        break;
    }
  }

  reconnecting(delayMs: number): void {
    this.#output.progress.note(`Lost the connection; trying again in ${delayMs / 1000} s`);
  }

  missing(earliest: number): void {
    this.#output.progress.note(`The server has not kept the events before ${earliest}; it goes on with that one`);
  }

  #progressText(event: RunEvent, progress: TrainingProgress): string {
    const epoch = `epoch ${event.epoch + 1}${this.#totalEpochs === undefined ? "" : `/${this.#totalEpochs}`}`;
    const parts = [epoch, `step ${event.step}/${progress.totalSteps}`];
    if (progress.metrics !== undefined) {
      parts.push(`loss ${formatLoss(progress.metrics.loss)}`, `top-1 ${formatFraction(progress.metrics.top1)}`);
    }
    parts.push(`${formatRate(progress.imagesPerSecond)} images/s`);
    const waiting = dataWaitShare(progress);
    if (waiting > 0.01) parts.push(`${formatFraction(waiting)} waiting for data`);
    if (progress.secondsLeft !== undefined) parts.push(`${formatDuration(progress.secondsLeft)} left`);
    return parts.join("  ");
  }
}

/** The share of the steps' time that went by until their batches were there. */
function dataWaitShare({ dataWaitSeconds, imagesPerSecond, metrics }: TrainingProgress): number {
  const images = metrics?.images ?? 0;
  return images === 0 ? 0 : dataWaitSeconds * imagesPerSecond / images;
}

/** An event as one flat object: its kind by name, and the fields of that kind beside those of every event. */
function preparation({ kernelsMeasured, kernelsTotal, pipelinesReady, pipelinesTotal }: Preparing): ProgressState {
  return kernelsTotal > 0
    ? { done: kernelsMeasured, total: kernelsTotal, text: `measuring kernels ${kernelsMeasured}/${kernelsTotal}` }
    : { done: pipelinesReady, total: pipelinesTotal, text: `compiling kernels ${pipelinesReady}/${pipelinesTotal}` };
}

function eventJson(event: RunEvent): JsonObject {
  const { run, sequence, attempt, step, epoch, kind } = event;
  const time = event.time === undefined ? undefined : timestampDate(event.time).toISOString();
  return { run, sequence, time, attempt, step, epoch, kind: kindNames[kind.case ?? "none"], ...kindJson(event) };
}

const kindNames = {
  stateChanged: "state_changed",
  preparing: "preparing",
  progress: "progress",
  evaluation: "evaluation",
  checkpoint: "checkpoint",
  resumed: "resumed",
  none: "unknown",
};

function kindJson({ kind }: RunEvent): JsonObject {
  switch (kind.case) {
    case "stateChanged":
      return messageToJson(StateChangedSchema, kind.value);
    case "preparing":
      return messageToJson(PreparingSchema, kind.value);
    case "progress":
      return {
        ...metricsJson(kind.value.metrics),
        ...messageToJson(TrainingProgressSchema, { ...kind.value, metrics: undefined }),
      };
    case "evaluation":
      return metricsJson(kind.value.metrics);
    case "checkpoint":
      return messageToJson(CheckpointSchema, kind.value);
    case "resumed":
      return messageToJson(ResumedSchema, kind.value);
    default:
      return {};
  }
}

/** loss, top1, top5 and images, to stand beside other fields. */
export function metricsJson(metrics: Metrics | undefined): JsonObject {
  return metrics === undefined ? {} : messageToJson(MetricsSchema, metrics);
}

/** What became of a run, as one flat object; loss and accuracies are those of the last evaluation. */
export function runSummaryJson(run: Run): JsonObject {
  const { evaluation, progress } = run;
  return {
    kind: "run",
    run: run.name,
    state: stateName(run.state),
    status_message: run.statusMessage,
    step: progress?.step ?? 0,
    total_steps: progress?.totalSteps ?? 0,
    epoch: progress?.epoch ?? 0,
    ...(evaluation === undefined ? {} : { loss: evaluation.loss, top1: evaluation.top1, top5: evaluation.top5 }),
    images_per_second: progress?.imagesPerSecond ?? 0,
    checkpoints: run.checkpoints.map((checkpoint) => checkpoint.path),
  };
}

/** What became of a run, in one line. */
export function runSummaryLine(run: Run): string {
  const { evaluation, progress } = run;
  const steps = progress === undefined || progress.totalSteps === 0
    ? ""
    : ` after ${progress.step} of ${progress.totalSteps} steps`;
  const result = evaluation === undefined
    ? ""
    : `: test loss ${formatLoss(evaluation.loss)}, top-1 ${formatFraction(evaluation.top1)}`;
  return `${run.name} is ${stateName(run.state)}${steps}${result}${because(run.statusMessage)}`;
}

function because(statusMessage: string): string {
  return statusMessage === "" ? "" : `: ${statusMessage}`;
}
