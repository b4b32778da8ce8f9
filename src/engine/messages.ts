/**
 * What travels between the server and the worker that owns a GPU: plain
 * objects that can be cloned. Images are `u8`, row by row, channels last (NHWC).
 */
import type { CheckpointDataset, ModelSpec, NetworkAnalysis, StochasticTraining } from "../models/mod.ts";
import type { AugmentationChoices } from "./augmentation.ts";
import type { OptimizationChoices } from "./optimization.ts";
import type { ImageSize, Preprocessing, RandomResizedCrop } from "../data/mod.ts";

/** A training configuration with every default filled in; the field names are those of the checkpoint. */
export interface TrainingConfig extends OptimizationChoices, AugmentationChoices {
  /** Whose defaults it took; says nothing more than the fields do. */
  readonly recipe?: string;
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
  /** Of the schedule `steps`: epochs, counted from 0 and ascending, at whose start the learning rate is multiplied by `factor`. */
  readonly milestones: readonly number[];
  readonly factor: number;
  readonly labelSmoothing: number;
  /** Pixels of zero padding before the random crop. */
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
  /** Of a streamed data set, what is cut out of its images; its channels are the data set's. Undefined: the data set's. */
  readonly image?: ImageSize;
  /** Of a streamed data set, which part of a training image is taken; `off`: as in evaluation. */
  readonly randomResizedCrop?: RandomResizedCrop | "off";
  /** `mixed`: activations as f16, f32 weights and sums, a dynamic loss scale; where the adapter has `shader-f16`. */
  readonly precision: "f32" | "mixed";
  /**
   * Where images lie during the run: `resident`: on the GPU, all of them; `host`: in the machine's memory, and each batch
   * travels; `auto` or undefined: `resident` where they fit. It changes no bit of the weights.
   */
  readonly dataPath?: "auto" | "resident" | "host";
  /** Chance in the network; undefined: none. */
  readonly stochastic?: StochasticTraining;
  readonly evaluateEveryEpochs: number;
  /** Steps between checkpoints within an epoch; 0: only after epochs. */
  readonly checkpointEverySteps: number;
  /** Newest checkpoints that stay on disk, besides the best one. */
  readonly checkpointsKept: number;
  /** How often a run is taken up again from its last checkpoint after a fault, before it fails. */
  readonly maxRetries: number;
  /** A checkpoint whose weights and statistics training starts from, relative to the data folder; undefined: random ones. */
  readonly initialCheckpoint?: string;
}

/** Whether kernels are measured on the adapter to choose the fastest; `auto`: on hardware, not on software Vulkan. */
export type TuneMode = "auto" | "on" | "off";

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

export interface CheckpointInfo {
  /** Relative to the data folder, with forward slashes. */
  readonly path: string;
  readonly step: number;
  readonly epoch: number;
  readonly bytes: number;
}

/** A checkpoint that was found and not used. */
export interface RefusedCheckpoint {
  /** Relative to the data folder. */
  readonly path: string;
  readonly reason: string;
}

/** What a training job tells, in order. A job that fails or is cancelled throws instead. */
export type TrainingEvent =
  & { readonly step: number; readonly epoch: number }
  & (
    /** The first event of a resumed job: where it goes on. Without `from` no checkpoint could be used: it starts anew. */
    | { readonly kind: "resumed"; readonly from?: CheckpointInfo; readonly refused: readonly RefusedCheckpoint[] }
    | {
      readonly kind: "preparing";
      readonly pipelinesReady: number;
      readonly pipelinesTotal: number;
      /** Kernels measured against each other, of those to be; absent where that is not what is done. */
      readonly tuning?: { readonly done: number; readonly total: number };
    }
    | {
      readonly kind: "progress";
      readonly metrics: Metrics;
      readonly learningRate: number;
      readonly imagesPerSecond: number;
      /** Seconds the step waited for its batch. */
      readonly dataWait: number;
      readonly totalSteps: number;
      readonly secondsLeft?: number;
    }
    | { readonly kind: "evaluation"; readonly metrics: Metrics }
    /**
     * A checkpoint comes. It gets its name once the next event is asked for: what was told of the steps before it can
     * be kept first, so that no resumed job starts behind what is known.
     */
    | { readonly kind: "checkpointing" }
    | {
      readonly kind: "checkpoint";
      readonly checkpoint: CheckpointInfo;
      /** Whether its evaluation is the best so far. */
      readonly best: boolean;
      /** Paths of the run's checkpoints that are on disk now, this one included; oldest first. */
      readonly kept: readonly string[];
    }
    /** The last event of a job that was asked to pause: its checkpoint is written. */
    | { readonly kind: "paused" }
  );

export interface TrainingJob {
  readonly config: TrainingConfig;
  /** Where checkpoints go, relative to the data folder: "runs/<id>". */
  readonly folder: string;
  /** Whether to go on from the newest checkpoint in the folder that can be read; from the start where there is none. */
  readonly resume: boolean;
}

/** A training run, as far as its memory depends on it. */
export interface MemoryQuestion {
  readonly model: ModelSpec;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly classes: number;
  readonly batchSize: number;
  readonly precision: TrainingConfig["precision"];
  /** Of each split: they decide on a last smaller batch. Undefined: batches divide them. */
  readonly images?: { readonly train: number; readonly test: number };
  /** Without `images` none are counted. */
  readonly dataPath?: TrainingConfig["dataPath"];
  /** Whether the weights have a moving average, which takes as much as they do; absent: they have none. */
  readonly emaDecay?: TrainingConfig["emaDecay"];
}

/** GPU memory of a run at its peak, in bytes. */
export interface TrainingMemory {
  /** Parameters, their gradients, momentum, moving average and running statistics. */
  readonly parameters: number;
  /** A full batch's activations and their gradients, scratch space and packed weights, which take turns in one place. */
  readonly activations: number;
  /** All else: inputs, read-back, what the last smaller batch and the evaluation work with. */
  readonly workspace: number;
  /** The data set's images, where they stay there. */
  readonly images: number;
  readonly total: number;
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
  readonly preprocessing: Preprocessing;
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

export interface ExportJob {
  /** Relative to the data folder. */
  readonly checkpoint: string;
  /** Whether the optimiser's momentum is part of it. */
  readonly optimizerState: boolean;
  /** `pytorch`: a state dict with PyTorch's names, without the optimiser's momentum. Default `checkpoint`. */
  readonly format?: "checkpoint" | "pytorch";
}

/** A network that was trained elsewhere, and its data set, or what is known of that. */
export interface ImportedNetwork {
  readonly model: ModelSpec;
  readonly trainedOn: { readonly dataset: string } | ImportedImages;
}

/** Images and classes of no data set here; without class names, as many as the weights tell apart. */
export type ImportedImages =
  & Omit<CheckpointDataset, "name" | "classNames">
  & Partial<Pick<CheckpointDataset, "classNames">>;

export interface ModelImportJob {
  /** The file, by its absolute path. */
  readonly source: string;
  /** The checkpoint becomes "models/<name>.safetensors". */
  readonly name: string;
  /** Undefined: the file is a checkpoint, which says itself what its network is. */
  readonly network?: ImportedNetwork;
}

export interface ImportedModel {
  readonly checkpoint: CheckpointInfo;
  readonly description: CheckpointDescription;
}

/** A safetensors file that never changes; PyTorch's safetensors loads it, weights OIHW. */
export interface ExportedModel {
  /** Relative to the data folder. */
  readonly path: string;
  readonly bytes: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
}

/** A trained network as a numerical scheme. */
export interface CheckpointAnalysis extends NetworkAnalysis {
  readonly model: ModelSpec;
  /** Of training. */
  readonly step: number;
  /** Whether its weights are their moving average. */
  readonly isAverage: boolean;
}

/**
 * The engine as the server sees it. Every call takes a signal; an aborted one
 * throws the signal's reason. Errors are `EngineError`s.
 */
export interface Engine {
  readonly adapter: AdapterInfo;
  /** False while the worker that owns the GPU is being replaced. */
  readonly available: boolean;
  /** Calls the listener with every change of `available`, until what it returns is disposed of. */
  onAvailability(listener: (available: boolean) => void): Disposable;
  /**
   * Checks a configuration without touching the GPU: model and data set exist, the batch fits in memory.
   * @throws {EngineError} `invalid` or `not-found`, with a message for the user.
   */
  check(config: TrainingConfig, signal?: AbortSignal): Promise<void>;
  /**
   * The GPU memory that a run would need, whether or not there is so much.
   * @throws {EngineError} `invalid` for an unknown network; `exhausted` when one buffer is past the adapter's limit.
   */
  memory(question: MemoryQuestion, signal?: AbortSignal): Promise<TrainingMemory>;
  /**
   * @param pause Once aborted, the job finishes the steps in flight, writes a checkpoint, tells `paused` and ends.
   * @throws {EngineError} `fault` when the GPU or its worker failed, which is then replaced: the job may be resumed;
   * `diverged` when the loss is not finite; `storage` when a checkpoint finds no room on the disk.
   */
  train(job: TrainingJob, signal: AbortSignal, pause?: AbortSignal): AsyncIterable<TrainingEvent>;
  evaluate(job: EvaluationJob, signal: AbortSignal): AsyncIterable<EvaluationEvent>;
  describeCheckpoint(checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription>;
  infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult>;
  /** Writes what the job asks for into a file of its own, or names the checkpoint itself where that is the same. */
  exportModel(job: ExportJob, signal: AbortSignal): Promise<ExportedModel>;
  /**
   * Makes a checkpoint of weights that were trained elsewhere.
   * @throws {EngineError} `invalid`, telling all that the file lacks or has too much; `exists` for a name that is taken.
   */
  importModel(job: ModelImportJob, signal: AbortSignal): Promise<ImportedModel>;
  analyze(checkpoint: string, signal: AbortSignal): Promise<CheckpointAnalysis>;
  /** @param patience milliseconds that jobs have to let go before the worker is killed; default 10,000 */
  close(patience?: number): Promise<void>;
}

/**
 * `invalid`: the request's fault; `exists`: the name is taken; `damaged`: what was stored cannot be read any more;
 * `exhausted`: does not fit; `fault`: the GPU, its driver or the worker failed, and the worker has been replaced;
 * `unsupported`: the adapter cannot do it; `diverged`: the loss is not finite; `storage`: no room on the disk; `internal`:
 * ours.
 */
export type EngineErrorKind =
  | "invalid"
  | "not-found"
  | "damaged"
  | "exists"
  | "exhausted"
  | "unavailable"
  | "fault"
  | "unsupported"
  | "diverged"
  | "storage"
  | "internal";

/** An error that has crossed from the worker; its message is fit for a user. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(readonly kind: EngineErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
