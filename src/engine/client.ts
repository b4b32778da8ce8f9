/** Calls into one worker, matched to their answers by id; a watchdog over it. */
import { EngineError } from "./messages.ts";
import type { CallName, Calls, FromWorker, StreamName, ToWorker } from "./protocol.ts";
import { WorkerProcess } from "./worker_process.ts";

export interface WorkerClientOptions {
  /** The worker's module. */
  readonly module: URL;
  /** Milliseconds without a sign of life, while calls are under way, after which the worker is taken to hang. */
  readonly stepTimeoutMs: number;
  /** Takes what the worker wants to be logged. */
  readonly warn: (message: string) => void;
  /** Called once, when the worker cannot be used any more: it died, hung, or its GPU failed. */
  readonly onFault: (error: EngineError) => void;
}

export interface CallOptions<Name extends CallName> {
  /** Default: a new one. */
  readonly id?: number;
  readonly signal?: AbortSignal;
  readonly pause?: AbortSignal;
  readonly onEvent?: (event: Calls[Name]["event"]) => void;
}

interface Pending {
  readonly onEvent?: (event: Calls[CallName]["event"]) => void;
  readonly resolve: (result: Calls[CallName]["result"]) => void;
  readonly reject: (error: unknown) => void;
}

export class WorkerClient {
  readonly #options: WorkerClientOptions;
  readonly #process: WorkerProcess;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #failure: EngineError | undefined;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  /** Turns of the watchdog since the last message. */
  #silentTurns = 0;

  constructor(options: WorkerClientOptions) {
    this.#options = options;
    this.#process = new WorkerProcess({ module: options.module, onMessage: (message) => this.#receive(message) });
    this.#process.ended.then((how) => {
      this.#fail(new EngineError("fault", `The engine's process ended unexpectedly (${how})`));
    });
  }

  /** Settles when the worker's process is gone. */
  async ended(): Promise<void> {
    await this.#process.ended;
  }

  /** Posts a call. An abort makes it reject with the signal's reason once the worker has let go. */
  async call<Name extends CallName>(
    name: Name,
    argument: Calls[Name]["argument"],
    { id = this.#nextId++, signal, pause, onEvent }: CallOptions<Name> = {},
  ): Promise<Calls[Name]["result"]> {
    signal?.throwIfAborted();
    if (this.#failure) throw this.#failure;
    const abort = () => this.#post({ id, interrupt: "abort" });
    const requestPause = () => this.#post({ id, interrupt: "pause" });
    try {
      return await new Promise<Calls[CallName]["result"]>((resolve, reject) => {
        this.#pending.set(id, { onEvent: onEvent as Pending["onEvent"], resolve, reject });
        this.#watch();
        this.#post({ id, call: name, argument } as ToWorker);
        signal?.addEventListener("abort", abort, { once: true });
        if (pause?.aborted) requestPause();
        else pause?.addEventListener("abort", requestPause, { once: true });
      });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
      pause?.removeEventListener("abort", requestPause);
      this.#pending.delete(id);
      if (this.#pending.size === 0) this.#unwatch();
    }
  }

  /** A call's events in order. Leaving the loop early aborts the call. */
  async *stream<Name extends StreamName>(
    name: Name,
    argument: Calls[Name]["argument"],
    { signal, pause }: { readonly signal: AbortSignal; readonly pause?: AbortSignal },
  ): AsyncGenerator<Calls[Name]["event"]> {
    const id = this.#nextId++;
    const left = new AbortController();
    const queue: Calls[Name]["event"][] = [];
    let wake = Promise.withResolvers<void>();
    let ended = false;
    const onEvent = (event: Calls[Name]["event"]) => {
      queue.push(event);
      wake.resolve();
    };
    const done = this.call(name, argument, { id, signal: AbortSignal.any([signal, left.signal]), pause, onEvent })
      .finally(() => {
        ended = true;
        wake.resolve();
      });
    done.catch(() => {});
    try {
      while (!ended || queue.length > 0) {
        const event = queue.shift();
        if (event) {
          yield event;
          if (event.kind === "checkpointing") this.#post({ id, interrupt: "proceed" });
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

  /** Kills the process; what is outstanding, and what comes later, fails with the error. */
  async end(error: EngineError): Promise<void> {
    this.#giveUp(error);
    await this.#process.ended;
  }

  /** The worker's own doing, or the watchdog's: whoever uses the client is told. */
  #fail(error: EngineError): void {
    if (this.#failure) return;
    this.#giveUp(error);
    this.#options.onFault(error);
  }

  #giveUp(error: EngineError): void {
    this.#failure ??= error;
    this.#process.kill();
    for (const { reject } of this.#pending.values()) reject(this.#failure);
  }

  #post(message: ToWorker): void {
    this.#process.send(message);
  }

  #receive(message: FromWorker): void {
    this.#silentTurns = 0;
    if ("alive" in message) return;
    if ("warning" in message) return this.#options.warn(message.warning);
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ("event" in message) return pending.onEvent?.(message.event);
    if ("result" in message) return pending.resolve(message.result);
    const error = new EngineError(message.error.kind, message.error.message);
    if (error.kind === "fault") this.#fail(error);
    else pending.reject(error);
  }

  /**
   * Counts turns of a timer rather than comparing times: when this thread was held up or the machine slept, one turn
   * passes, and the messages that wait are read before the next.
   */
  #watch(): void {
    if (this.#watchdog !== undefined) return;
    this.#silentTurns = 0;
    const { stepTimeoutMs } = this.#options;
    const turns = 8;
    this.#watchdog = setInterval(() => {
      if (++this.#silentTurns <= turns) return;
      this.#fail(new EngineError("fault", `The GPU did not answer for ${Math.round(stepTimeoutMs / 1000)} s`));
    }, stepTimeoutMs / turns);
  }

  #unwatch(): void {
    clearInterval(this.#watchdog);
    this.#watchdog = undefined;
  }
}
