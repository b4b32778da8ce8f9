/**
 * What travels between the server and the worker that owns a GPU: plain
 * objects that can be cloned. Images are `u8`, row by row, channels last (NHWC).
 */
import type { ModelSpec } from "../models/mod.ts";

/** A training configuration with every default filled in; the field names are those of the checkpoint. */
export interface TrainingConfig {
  readonly model: ModelSpec;
  readonly dataset: string;
  readonly epochs: number;
  readonly batchSize: number;
  /** 0 to 2^53 - 1. */
  readonly seed: number;
  /** Images used of a split; undefined: all. */
  readonly limitTrain?: number;
  readonly limitTest?: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly decayMultistepCoefficients: boolean;
  /** Epochs, counted from 0 and ascending, at whose start the learning rate is multiplied by `factor`. */
  readonly milestones: readonly number[];
  readonly factor: number;
  readonly labelSmoothing: number;
  /** Pixels of zero padding before the random crop. */
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
  readonly precision: "f32";
  readonly evaluateEveryEpochs: number;
}

/** Means over `images` images; `top1` and `top5` are fractions. */
export interface Metrics {
  readonly loss: number;
  readonly top1: number;
  readonly top5: number;
  readonly images: number;
}

export interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** Checkpoints of a run that stay on disk: the newest ones. */
export const CHECKPOINTS_KEPT = 2;

export interface CheckpointInfo {
  /** Relative to the data folder, with forward slashes. */
  readonly path: string;
  readonly step: number;
  readonly epoch: number;
  readonly bytes: number;
}

/** What a training job tells, in order. A job that fails or is cancelled throws instead. */
export type TrainingEvent =
  & { readonly step: number; readonly epoch: number }
  & (
    | { readonly kind: "preparing"; readonly pipelinesReady: number; readonly pipelinesTotal: number }
    | {
      readonly kind: "progress";
      readonly metrics: Metrics;
      readonly learningRate: number;
      readonly imagesPerSecond: number;
      readonly totalSteps: number;
      readonly secondsLeft?: number;
    }
    | { readonly kind: "evaluation"; readonly metrics: Metrics }
    | { readonly kind: "checkpoint"; readonly checkpoint: CheckpointInfo }
  );

export interface TrainingJob {
  readonly config: TrainingConfig;
  /** Where checkpoints go, relative to the data folder: "runs/<id>". */
  readonly folder: string;
}

export interface EvaluationJob {
  /** Relative to the data folder. */
  readonly checkpoint: string;
  /** Undefined: the data set trained on. */
  readonly dataset?: string;
  readonly split: "train" | "test";
  readonly batchSize: number;
  readonly limit?: number;
}

export interface EvaluationResult {
  readonly metrics: Metrics;
  readonly classNames: readonly string[];
  /** counts[true * classes + predicted] */
  readonly confusion: Uint32Array;
  readonly imagesPerSecond: number;
}

export type EvaluationEvent =
  | { readonly kind: "progress"; readonly imagesDone: number; readonly imagesTotal: number }
  | { readonly kind: "result"; readonly result: EvaluationResult };

/** What a network trained here takes and gives. */
export interface CheckpointDescription {
  readonly model: ModelSpec;
  readonly dataset: string;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly classNames: readonly string[];
}

export interface InferenceJob {
  /** Relative to the data folder. */
  readonly checkpoint: string;
  /** `images` x height x width x channels of the network's input. */
  readonly pixels: Uint8Array;
  readonly images: number;
}

export interface InferenceResult {
  readonly classNames: readonly string[];
  /** images x classes, row by row; each row sums to 1. */
  readonly probabilities: Float32Array;
}

/**
 * The engine as the server sees it. Every call takes a signal; an aborted one
 * throws the signal's reason. Errors are `EngineError`s.
 */
export interface Engine {
  readonly adapter: AdapterInfo;
  /**
   * Checks a configuration without touching the GPU: model and data set exist, the batch fits in memory.
   * @throws {EngineError} `invalid` or `not-found`, with a message for the user.
   */
  check(config: TrainingConfig): Promise<void>;
  train(job: TrainingJob, signal: AbortSignal): AsyncIterable<TrainingEvent>;
  evaluate(job: EvaluationJob, signal: AbortSignal): AsyncIterable<EvaluationEvent>;
  describeCheckpoint(checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription>;
  infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult>;
  close(): Promise<void>;
}

/** `invalid`: the request's fault; `exhausted`: does not fit; `internal`: ours or the driver's. */
export type EngineErrorKind = "invalid" | "not-found" | "exhausted" | "unavailable" | "internal";

/** An error that has crossed from the worker; its message is fit for a user. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(readonly kind: EngineErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
