/** Runs and their events, as messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { TrainingConfig } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";
import type { Run, RunCheckpoint, RunEvent, RunEventBody, RunProgress } from "../runs/run.ts";
import type { FeedItem } from "../runs/run_feed.ts";
import type { RunState } from "../runs/state.ts";
import { toAugmentationConfig } from "./augmentation.ts";
import { toModelSpec } from "./model_spec.ts";
import { toOptimizerConfig, toScheduleConfig } from "./optimization.ts";
import { toStochasticConfig } from "./stochastic.ts";
import { toStreaming } from "./streaming.ts";

const states: Readonly<Record<RunState, proto.RunState>> = {
  QUEUED: proto.RunState.QUEUED,
  RUNNING: proto.RunState.RUNNING,
  PAUSING: proto.RunState.PAUSING,
  PAUSED: proto.RunState.PAUSED,
  CANCELLING: proto.RunState.CANCELLING,
  CANCELLED: proto.RunState.CANCELLED,
  FAILED: proto.RunState.FAILED,
  SUCCEEDED: proto.RunState.SUCCEEDED,
};

export function runName(id: string): string {
  return `runs/${id}`;
}

export function toRun(run: Run): MessageInitShape<typeof proto.RunSchema> {
  const { statusMessage, earliestSequence, lastSequence, attempt, retries, resumesItself, evaluation } = run;
  return {
    name: runName(run.id),
    state: states[run.state],
    config: toTrainingConfig(run.config),
    createTime: timestampFromMs(run.createTime),
    startTime: optionalTime(run.startTime),
    endTime: optionalTime(run.endTime),
    progress: run.progress && toProgress(run.progress, run.config.epochs),
    evaluation,
    statusMessage,
    lastSequence,
    attempt,
    checkpoints: run.checkpoints.map(toCheckpoint),
    earliestSequence,
    resumesByItself: resumesItself,
    retries,
  };
}

/** What Train and WatchRun answer. */
export function toFeedItem(item: FeedItem) {
  if (item.kind === "event") return { event: toRunEvent(item.event) };
  return { heartbeat: { lastSequence: item.lastSequence, time: timestampFromMs(Date.now()) } };
}

export function toRunEvent(event: RunEvent): MessageInitShape<typeof proto.RunEventSchema> {
  const { sequence, attempt, step, epoch } = event;
  const time = timestampFromMs(event.time);
  return { run: runName(event.run), sequence, time, attempt, step, epoch, kind: toKind(event.body) };
}

function toKind(body: RunEventBody): MessageInitShape<typeof proto.RunEventSchema>["kind"] {
  switch (body.kind) {
    case "state": {
      const { state, statusMessage, resumesItself: resumesByItself } = body;
      return { case: "stateChanged", value: { state: states[state], statusMessage, resumesByItself } };
    }
    case "resumed": {
      const { from, refused } = body;
      return { case: "resumed", value: { from: from && toCheckpoint(from), refused: [...refused] } };
    }
    case "preparing": {
      const { pipelinesReady, pipelinesTotal, tuning } = body;
      const value = { pipelinesReady, pipelinesTotal, kernelsMeasured: tuning?.done, kernelsTotal: tuning?.total };
      return { case: "preparing", value };
    }
    case "progress": {
      const { kind: _, dataWait: dataWaitSeconds, ...value } = body;
      return { case: "progress", value: { ...value, dataWaitSeconds } };
    }
    case "evaluation":
      return { case: "evaluation", value: { metrics: body.metrics } };
    case "checkpoint":
      return { case: "checkpoint", value: toCheckpoint({ ...body.checkpoint, best: body.best }) };
  }
}

function toProgress(progress: RunProgress, totalEpochs: number): MessageInitShape<typeof proto.RunProgressSchema> {
  const { step, totalSteps, epoch, training, imagesPerSecond, secondsLeft } = progress;
  return { step, totalSteps, epoch, totalEpochs, training, imagesPerSecond, secondsLeft };
}

export function toCheckpoint(checkpoint: RunCheckpoint): MessageInitShape<typeof proto.CheckpointSchema> {
  const { path, step, epoch, bytes, best } = checkpoint;
  return { path, step, epoch, bytes: BigInt(bytes), best };
}

export function toTrainingConfig(config: TrainingConfig): MessageInitShape<typeof proto.TrainingConfigSchema> {
  const { dataset, epochs, batchSize, limitTrain, limitTest, labelSmoothing, evaluateEveryEpochs } = config;
  const { checkpointEverySteps, checkpointsKept, maxRetries, initialCheckpoint } = config;
  return {
    recipe: config.recipe,
    model: toModelSpec(config.model),
    dataset,
    epochs,
    batchSize,
    seed: BigInt(config.seed),
    limitTrain,
    limitTest,
    optimizer: toOptimizerConfig(config),
    schedule: toScheduleConfig(config),
    labelSmoothing,
    augmentation: { ...toAugmentationConfig(config), ...toStreaming(config) },
    precision: precisions[config.precision],
    evaluateEveryEpochs,
    checkpointEverySteps,
    checkpointsKept,
    maxRetries,
    initialCheckpoint,
    dataPath: dataPaths[config.dataPath ?? "auto"],
    stochastic: config.stochastic && toStochasticConfig(config.stochastic),
  };
}

const dataPaths = { auto: proto.DataPath.AUTO, resident: proto.DataPath.RESIDENT, host: proto.DataPath.HOST };
const precisions = { f32: proto.Precision.F32, mixed: proto.Precision.MIXED };

function optionalTime(time: number | undefined) {
  return time === undefined ? undefined : timestampFromMs(time);
}
