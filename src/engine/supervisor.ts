/** The engine: a worker that owns the GPU, and another one when it fails. */
import { WorkerClient } from "./client.ts";
import {
  type AdapterInfo,
  type CheckpointAnalysis,
  type CheckpointDescription,
  type Engine,
  EngineError,
  type EvaluationEvent,
  type EvaluationJob,
  type ExportedModel,
  type ExportJob,
  type ImportedModel,
  type InferenceJob,
  type InferenceResult,
  type MemoryQuestion,
  type ModelImportJob,
  type TrainingConfig,
  type TrainingEvent,
  type TrainingJob,
  type TrainingMemory,
  type TuneMode,
} from "./messages.ts";
import type { Calls } from "./protocol.ts";

/** How long jobs have to let go before the worker is ended all the same, unless close() is told. */
const CLOSE_PATIENCE_MS = 10_000;
/** A step of a large network takes minutes on software Vulkan, and so does compiling a kernel for the first time. */
const STEP_TIMEOUT_MS = 600_000;
/** Between attempts to open a GPU that fails to open; doubled from the first to the last. */
const BACKOFF_MS = { first: 1_000, last: 60_000 } as const;

export interface EngineOptions {
  readonly dataDir: string;
  /** Default auto. */
  readonly tune?: TuneMode;
  /** Takes what should be logged. */
  readonly warn?: (message: string) => void;
  /** Milliseconds without a sign of life after which the worker is taken to hang; default 10 minutes. */
  readonly stepTimeoutMs?: number;
  /** The worker's module; tests wrap it. */
  readonly worker?: URL;
}

/**
 * Starts the worker that owns the GPU.
 * @throws {EngineError} `unavailable` when there is no Vulkan driver.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new SupervisedEngine(options);
  await engine.open();
  return engine;
}

class SupervisedEngine implements Engine {
  readonly #options: EngineOptions;
  readonly #listeners = new Set<(available: boolean) => void>();
  readonly #closing = new AbortController();
  /** The newest worker, opened or not. */
  #client: WorkerClient | undefined;
  /** The newest attempt to open one; rejected while the next is waited for. */
  #worker: Promise<WorkerClient>;
  #nextAttempt = Promise.withResolvers<void>();
  #backoff: ReturnType<typeof setTimeout> | undefined;
  #adapter: AdapterInfo | undefined;
  #available = false;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#worker = this.#openWorker();
    this.#worker.catch(() => {});
  }

  /** Waits for the first worker. @throws {EngineError} `unavailable` */
  async open(): Promise<void> {
    await this.#worker;
  }

  get adapter(): AdapterInfo {
    if (!this.#adapter) throw new Error("The engine is not open");
    return this.#adapter;
  }

  get available(): boolean {
    return this.#available;
  }

  onAvailability(listener: (available: boolean) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async check(config: TrainingConfig, signal?: AbortSignal): Promise<void> {
    await this.#call("check", config, signal);
  }

  memory(question: MemoryQuestion, signal?: AbortSignal): Promise<TrainingMemory> {
    return this.#call("memory", question, signal);
  }

  async *train(job: TrainingJob, signal: AbortSignal, pause?: AbortSignal): AsyncGenerator<TrainingEvent> {
    let client: WorkerClient;
    try {
      client = await this.#awaitWorker(pause ? AbortSignal.any([signal, pause]) : signal);
    } catch (error) {
      if (signal.aborted || error !== pause?.reason) throw error;
      // There is nothing that would have to be kept.
      return yield { kind: "paused", step: 0, epoch: 0 };
    }
    yield* client.stream("train", job, { signal, pause });
  }

  async *evaluate(job: EvaluationJob, signal: AbortSignal): AsyncGenerator<EvaluationEvent> {
    const client = await untilAborted(this.#worker, signal);
    yield* client.stream("evaluate", job, { signal });
  }

  describeCheckpoint(checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription> {
    return this.#call("describeCheckpoint", checkpoint, signal);
  }

  infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult> {
    return this.#call("infer", job, signal);
  }

  analyze(checkpoint: string, signal: AbortSignal): Promise<CheckpointAnalysis> {
    return this.#call("analyze", checkpoint, signal);
  }

  exportModel(job: ExportJob, signal: AbortSignal): Promise<ExportedModel> {
    return this.#call("exportModel", job, signal);
  }

  async importModel(job: ModelImportJob, signal: AbortSignal): Promise<ImportedModel> {
    return await (await this.#worker).call("importModel", job, { signal });
  }

  async close(patience = CLOSE_PATIENCE_MS): Promise<void> {
    const closed = new EngineError("unavailable", "The engine was closed");
    this.#closing.abort(closed);
    clearTimeout(this.#backoff);
    this.#nextAttempt.resolve();
    if (this.#available) {
      const answer = this.#client?.call("close", null).catch(() => {});
      await Promise.race([answer, delay(patience, answer)]);
    }
    this.#setAvailable(false);
    await this.#client?.end(closed);
    await this.#worker.catch(() => {});
    this.#worker = Promise.reject(closed);
    this.#worker.catch(() => {});
  }

  /** A call that changes nothing: when the worker fails under it, the next one is asked, once. */
  async #call<Name extends "check" | "memory" | "describeCheckpoint" | "infer" | "analyze" | "exportModel">(
    name: Name,
    argument: Calls[Name]["argument"],
    signal?: AbortSignal,
  ): Promise<Calls[Name]["result"]> {
    const ask = async () => (await untilAborted(this.#worker, signal)).call(name, argument, { signal });
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind !== "fault") throw error;
      return await ask();
    }
  }

  /** A worker, however many attempts it takes. */
  async #awaitWorker(signal: AbortSignal): Promise<WorkerClient> {
    while (true) {
      this.#closing.signal.throwIfAborted();
      const { promise } = this.#nextAttempt;
      try {
        return await untilAborted(this.#worker, signal);
      } catch {
        await untilAborted(promise, signal);
      }
    }
  }

  /** @throws {EngineError} `unavailable` */
  async #openWorker(): Promise<WorkerClient> {
    this.#closing.signal.throwIfAborted();
    const { dataDir, tune = "auto", warn = () => {}, stepTimeoutMs = STEP_TIMEOUT_MS } = this.#options;
    const module = this.#options.worker ?? new URL("./worker.ts", import.meta.url);
    let opened = false;
    // Before it is opened, the failure is that of the call "open".
    const onFault = () => opened && this.#replace(client);
    const client = this.#client = new WorkerClient({ module, stepTimeoutMs, warn, onFault });
    try {
      this.#adapter = await client.call("open", { dataDir, tune });
      opened = true;
      this.#setAvailable(true);
      return client;
    } catch (error) {
      await client.end(new EngineError("unavailable", "The engine could not be opened"));
      if (!(error instanceof EngineError) || error.kind !== "fault") throw error;
      throw new EngineError("unavailable", `The GPU could not be opened: ${error.message}`, { cause: error });
    }
  }

  #replace(failed: WorkerClient): void {
    this.#setAvailable(false);
    this.#attempt(failed.ended().then(() => this.#openWorker()), BACKOFF_MS.first);
  }

  #attempt(worker: Promise<WorkerClient>, backoff: number): void {
    this.#worker = worker;
    this.#nextAttempt.resolve();
    this.#nextAttempt = Promise.withResolvers<void>();
    worker.catch(() => {
      if (this.#closing.signal.aborted) return;
      const next = Math.min(backoff * 2, BACKOFF_MS.last);
      this.#backoff = setTimeout(() => this.#attempt(this.#openWorker(), next), backoff);
    });
  }

  #setAvailable(available: boolean): void {
    if (this.#available === available) return;
    this.#available = available;
    for (const listener of this.#listeners) listener(available);
  }
}

/** Settles after some time, or when `earlier` has, so that no timer is left behind. */
function delay(milliseconds: number, earlier?: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    earlier?.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The promise's outcome. @throws the signal's reason if that comes first. */
async function untilAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return await promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
