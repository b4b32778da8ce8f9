/** Runs and their events, as messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CheckpointInfo, TrainingConfig } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";
import type { Run, RunEvent, RunEventBody, RunProgress } from "../runs/run.ts";
import type { RunState } from "../runs/state.ts";
import { toModelSpec } from "./model_spec.ts";

const states: Readonly<Record<RunState, proto.RunState>> = {
  QUEUED: proto.RunState.QUEUED,
  RUNNING: proto.RunState.RUNNING,
  CANCELLING: proto.RunState.CANCELLING,
  CANCELLED: proto.RunState.CANCELLED,
  FAILED: proto.RunState.FAILED,
  SUCCEEDED: proto.RunState.SUCCEEDED,
};

export function runName(id: string): string {
  return `runs/${id}`;
}

export function toRun(run: Run): MessageInitShape<typeof proto.RunSchema> {
  const { statusMessage, lastSequence, attempt, evaluation } = run;
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
  };
}

export function toRunEvent(event: RunEvent): MessageInitShape<typeof proto.RunEventSchema> {
  const { sequence, attempt, step, epoch } = event;
  const time = timestampFromMs(event.time);
  return { run: runName(event.run), sequence, time, attempt, step, epoch, kind: toKind(event.body) };
}

function toKind(body: RunEventBody): MessageInitShape<typeof proto.RunEventSchema>["kind"] {
  switch (body.kind) {
    case "state": {
      const { state, statusMessage } = body;
      return { case: "stateChanged", value: { state: states[state], statusMessage } };
    }
    case "preparing": {
      const { pipelinesReady, pipelinesTotal, tuning } = body;
      const value = { pipelinesReady, pipelinesTotal, kernelsMeasured: tuning?.done, kernelsTotal: tuning?.total };
      return { case: "preparing", value };
    }
    case "progress": {
      const { metrics, learningRate, imagesPerSecond, totalSteps, secondsLeft } = body;
      return { case: "progress", value: { metrics, learningRate, imagesPerSecond, totalSteps, secondsLeft } };
    }
    case "evaluation":
      return { case: "evaluation", value: { metrics: body.metrics } };
    case "checkpoint":
      return { case: "checkpoint", value: toCheckpoint(body.checkpoint) };
  }
}

function toProgress(progress: RunProgress, totalEpochs: number): MessageInitShape<typeof proto.RunProgressSchema> {
  const { step, totalSteps, epoch, training, imagesPerSecond, secondsLeft } = progress;
  return { step, totalSteps, epoch, totalEpochs, training, imagesPerSecond, secondsLeft };
}

function toCheckpoint({ path, step, epoch, bytes }: CheckpointInfo): MessageInitShape<typeof proto.CheckpointSchema> {
  return { path, step, epoch, bytes: BigInt(bytes) };
}

function toTrainingConfig(config: TrainingConfig): MessageInitShape<typeof proto.TrainingConfigSchema> {
  const { dataset, epochs, batchSize, limitTrain, limitTest, labelSmoothing, evaluateEveryEpochs } = config;
  const { checkpointEverySteps, checkpointsKept, maxRetries } = config;
  const { learningRate, momentum, weightDecay, decayMultistepCoefficients } = config;
  const { milestones, factor, cropPadding, horizontalFlip } = config;
  return {
    model: toModelSpec(config.model),
    dataset,
    epochs,
    batchSize,
    seed: BigInt(config.seed),
    limitTrain,
    limitTest,
    optimizer: { learningRate, momentum, weightDecay, decayMultistepCoefficients },
    schedule: { milestones: [...milestones], factor },
    labelSmoothing,
    augmentation: { cropPadding, horizontalFlip },
    precision: precisions[config.precision],
    evaluateEveryEpochs,
    checkpointEverySteps,
    checkpointsKept,
    maxRetries,
  };
}

const precisions = { f32: proto.Precision.F32, mixed: proto.Precision.MIXED };

function optionalTime(time: number | undefined) {
  return time === undefined ? undefined : timestampFromMs(time);
}
