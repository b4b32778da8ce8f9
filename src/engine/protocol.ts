/** The messages between an engine and its worker. Every call has an id; its answers carry it. */
import type {
  AdapterInfo,
  CheckpointAnalysis,
  CheckpointDescription,
  EngineErrorKind,
  EvaluationEvent,
  EvaluationJob,
  ExportedModel,
  ExportJob,
  ImportedModel,
  InferenceJob,
  InferenceResult,
  MemoryQuestion,
  ModelImportJob,
  TrainingConfig,
  TrainingEvent,
  TrainingJob,
  TrainingMemory,
  TuneMode,
} from "./messages.ts";

/** What a worker can be asked: argument, events on the way, result. */
export interface Calls {
  open: { argument: { readonly dataDir: string; readonly tune: TuneMode }; event: never; result: AdapterInfo };
  /** Ends what runs and frees the GPU. */
  close: { argument: null; event: never; result: void };
  check: { argument: TrainingConfig; event: never; result: void };
  memory: { argument: MemoryQuestion; event: never; result: TrainingMemory };
  train: { argument: TrainingJob; event: TrainingEvent; result: void };
  evaluate: { argument: EvaluationJob; event: EvaluationEvent; result: void };
  describeCheckpoint: { argument: string; event: never; result: CheckpointDescription };
  infer: { argument: InferenceJob; event: never; result: InferenceResult };
  analyze: { argument: string; event: never; result: CheckpointAnalysis };
  exportModel: { argument: ExportJob; event: never; result: ExportedModel };
  importModel: { argument: ModelImportJob; event: never; result: ImportedModel };
}

export type CallName = keyof Calls;
export type StreamName = "train" | "evaluate";

/**
 * What can be said to a call under way: `abort` ends any; `pause` ends a training job in order; `proceed` answers its
 * event `checkpointing`, after which it waits.
 */
export type Interruption = "abort" | "pause" | "proceed";

export type CallMessage = {
  readonly [Name in CallName]: {
    readonly id: number;
    readonly call: Name;
    readonly argument: Calls[Name]["argument"];
  };
}[CallName];

export type ToWorker = CallMessage | { readonly id: number; readonly interrupt: Interruption };

export type FromWorker =
  /** Something to be logged, of no call's. */
  | { readonly warning: string }
  | { readonly id: number; readonly event: Calls[CallName]["event"] }
  | { readonly id: number; readonly result: Calls[CallName]["result"] }
  | { readonly id: number; readonly error: { readonly kind: EngineErrorKind; readonly message: string } }
  /** A sign of life: sent while calls are under way and the event loop turns. */
  | { readonly alive: true };

/** Milliseconds between two signs of life. */
export const BEAT_MS = 500;
