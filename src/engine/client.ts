import type {
  AdapterInfo,
  CheckpointDescription,
  Engine,
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
import { EngineError } from "./messages.ts";
import type { CallName, Calls, FromWorker, ToWorker } from "./protocol.ts";

/** How long jobs have to let go before the worker is ended all the same. */
const CLOSE_PATIENCE_MS = 10_000;
/** The ended worker's thread unloads the driver by itself; a process that exits meanwhile corrupts Mesa's heap. */
const TEARDOWN_MS = 250;

export interface EngineOptions {
  readonly dataDir: string;
  /** Default auto. */
  readonly tune?: TuneMode;
  /** Takes what should be logged. */
  readonly warn?: (message: string) => void;
}

/**
 * Starts the worker that owns the GPU.
 * @throws {EngineError} `unavailable` when there is no Vulkan driver.
 */
export async function startEngine({ dataDir, tune = "auto", warn = () => {} }: EngineOptions): Promise<Engine> {
  const client = new WorkerClient(warn);
  try {
    const adapter = await client.call("open", { dataDir, tune }).result;
    return new WorkerEngine(client, adapter);
  } catch (error) {
    client.terminate(new EngineError("unavailable", "The engine could not be opened"));
    await delay(TEARDOWN_MS);
    throw error;
  }
}

class WorkerEngine implements Engine {
  readonly available = true;

  constructor(readonly client: WorkerClient, readonly adapter: AdapterInfo) {}

  onAvailability(): void {}

  async check(config: TrainingConfig): Promise<void> {
    await this.client.call("check", config).result;
  }

  async memory(question: MemoryQuestion): Promise<TrainingMemory> {
    return await this.client.call("memory", question).result;
  }

  train(job: TrainingJob, signal: AbortSignal): AsyncIterable<TrainingEvent> {
    return this.client.stream("train", job, signal);
  }

  evaluate(job: EvaluationJob, signal: AbortSignal): AsyncIterable<EvaluationEvent> {
    return this.client.stream("evaluate", job, signal);
  }

  async describeCheckpoint(checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription> {
    return await this.client.call("describeCheckpoint", checkpoint, signal).result;
  }

  async infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult> {
    return await this.client.call("infer", job, signal).result;
  }

  async exportModel(job: ExportJob, signal: AbortSignal): Promise<ExportedModel> {
    return await this.client.call("exportModel", job, signal).result;
  }

  async close(): Promise<void> {
    const closed = this.client.call("close", null).result.catch(() => {});
    await Promise.race([closed, delay(CLOSE_PATIENCE_MS, closed)]);
    this.client.terminate(new EngineError("unavailable", "The engine was closed"));
    await delay(TEARDOWN_MS);
  }
}

interface Pending {
  readonly onEvent: (event: Calls[CallName]["event"]) => void;
  readonly resolve: (result: Calls[CallName]["result"]) => void;
  readonly reject: (error: unknown) => void;
}

/** Calls into the worker, matched to their answers by id. */
class WorkerClient {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "engine" });
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #ended: EngineError | undefined;

  constructor(warn: (message: string) => void) {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if ("warning" in data) warn(data.warning);
      else this.#receive(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.terminate(new EngineError("internal", `The engine stopped: ${event.message}`));
    };
  }

  /** Posts a call. An abort makes its result reject with the signal's reason once the worker has let go. */
  call<Name extends CallName>(
    name: Name,
    argument: Calls[Name]["argument"],
    signal?: AbortSignal,
    onEvent: (event: Calls[Name]["event"]) => void = () => {},
  ): { readonly result: Promise<Calls[Name]["result"]> } {
    const result = new Promise<Calls[CallName]["result"]>((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#ended) throw this.#ended;
      const id = this.#nextId++;
      const abort = () => this.#post({ id, abort: true });
      const settled = () => signal?.removeEventListener("abort", abort);
      signal?.addEventListener("abort", abort, { once: true });
      this.#pending.set(id, {
        onEvent: onEvent as Pending["onEvent"],
        resolve: (value) => (settled(), resolve(value)),
        reject: (error) => (settled(), reject(signal?.aborted ? signal.reason : error)),
      });
      this.#post({ id, call: name, argument } as ToWorker);
    });
    return { result: result as Promise<Calls[Name]["result"]> };
  }

  /** A call's events in order. Leaving the loop early aborts the call. */
  async *stream<Name extends "train" | "evaluate">(
    name: Name,
    argument: Calls[Name]["argument"],
    signal: AbortSignal,
  ): AsyncGenerator<Calls[Name]["event"]> {
    const left = new AbortController();
    const queue: Calls[Name]["event"][] = [];
    let wake = Promise.withResolvers<void>();
    let ended = false;
    const { result } = this.call(name, argument, AbortSignal.any([signal, left.signal]), (event) => {
      queue.push(event);
      wake.resolve();
    });
    const done = result.finally(() => {
      ended = true;
      wake.resolve();
    });
    done.catch(() => {});
    try {
      while (!ended || queue.length > 0) {
        const event = queue.shift();
        if (event) {
          yield event;
        } else {
          await wake.promise;
          wake = Promise.withResolvers<void>();
        }
      }
      await done;
    } finally {
      left.abort();
    }
  }

  /** Ends the worker; every outstanding and later call fails with the error. */
  terminate(error: EngineError): void {
    this.#ended ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(message: Exclude<FromWorker, { warning: string }>): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ("event" in message) return pending.onEvent(message.event);
    this.#pending.delete(message.id);
    if ("error" in message) pending.reject(new EngineError(message.error.kind, message.error.message));
    else pending.resolve(message.result);
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
