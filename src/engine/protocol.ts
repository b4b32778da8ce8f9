/** The messages between an engine's client and its worker. Every call has an id; its answers carry it. */
import type {
  AdapterInfo,
  CheckpointDescription,
  EngineErrorKind,
  EvaluationEvent,
  EvaluationJob,
  ExportedModel,
  ExportJob,
  InferenceJob,
  InferenceResult,
  MemoryQuestion,
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
  exportModel: { argument: ExportJob; event: never; result: ExportedModel };
}

export type CallName = keyof Calls;

export type ToWorker =
  | {
    readonly [Name in CallName]: {
      readonly id: number;
      readonly call: Name;
      readonly argument: Calls[Name]["argument"];
    };
  }[CallName]
  | { readonly id: number; readonly abort: true };

export type FromWorker =
  /** Something to be logged, of no call's. */
  | { readonly warning: string }
  | { readonly id: number; readonly event: Calls[CallName]["event"] }
  | { readonly id: number; readonly result: Calls[CallName]["result"] }
  | { readonly id: number; readonly error: { readonly kind: EngineErrorKind; readonly message: string } };
