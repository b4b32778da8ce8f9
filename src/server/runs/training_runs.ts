/** Training runs: started, queued for the GPU, followed, cancelled. A run's life depends on no client's stream. */
import { type Engine, EngineError, type TrainingConfig, type TrainingEvent } from "../../engine/mod.ts";
import { RequestError } from "../errors.ts";
import type { Log } from "../log.ts";
import { Bells } from "../bells.ts";
import { EventCoalescer } from "./coalescer.ts";
import { EventReader } from "./event_reader.ts";
import { RunQueue } from "./queue.ts";
import type { Run, RunEvent, RunEventEntry } from "./run.ts";
import { hasEnded, type RunState } from "./state.ts";
import type { Page, RunStore } from "./store.ts";

export interface TrainingRunsOptions {
  readonly store: RunStore;
  readonly engine: Engine;
  readonly log: Log;
  /** Milliseconds between two log entries of metrics; default 250. */
  readonly metricsInterval?: number;
  /** Events a watcher reads at a time; default 100. */
  readonly watchBatch?: number;
  /** Runs that may wait for the GPU; default: any number. */
  readonly maxQueued?: number;
}

export interface StartOptions {
  readonly requestId?: string;
  readonly requestDigest: string;
}

/** Milliseconds that watchers have for the last events when the server stops. */
const watcherPatience = 1_000;

const stopped = "The server stopped while the run was in progress";

export class TrainingRuns {
  private readonly store: RunStore;
  private readonly engine: Engine;
  private readonly log: Log;
  private readonly queue = new RunQueue();
  private readonly bells = new Bells();
  private readonly metricsInterval: number;
  private readonly reader: EventReader;
  private readonly maxQueued: number;
  private closing = false;
  private closed = false;
  private watchers = 0;

  /** Fails the runs that a server which is gone has left unfinished. */
  constructor(options: TrainingRunsOptions) {
    ({ store: this.store, engine: this.engine, log: this.log } = options);
    this.metricsInterval = options.metricsInterval ?? 250;
    this.maxQueued = options.maxQueued ?? Infinity;
    this.reader = new EventReader(this.store, options.watchBatch ?? 100);
    this.failUnfinished();
  }

  get active(): string | undefined {
    return this.queue.active;
  }

  /** Runs that wait for the GPU. */
  get queued(): number {
    return this.queue.length;
  }

  /**
   * Adds a run and queues it; a request id that is known gives the run it made.
   * @throws {EngineError} the engine cannot train this.
   * @throws {RequestError} already-exists: the id was used for another configuration; unavailable: closing;
   * resource-exhausted: too many wait.
   */
  async start(config: TrainingConfig, options: StartOptions): Promise<Run> {
    const known = this.store.findByRequest(options.requestId, options.requestDigest);
    if (known) return known;
    await this.engine.check(config);
    if (this.closing) throw new RequestError("unavailable", "The server is shutting down");
    if (this.queue.length >= this.maxQueued) {
      throw new RequestError(
        "resource-exhausted",
        `At most ${this.maxQueued} runs wait for the GPU, and as many do: cancel one, or try again later`,
      );
    }
    const { run, created } = this.store.create({ id: newId(), config, time: Date.now(), ...options });
    if (created) {
      this.log.info("run created", { run: run.id, model: config.model.name, dataset: config.dataset });
      this.queue.add(run.id, (signal) => this.train(run, signal));
    }
    return run;
  }

  /** @throws {RequestError} not-found. */
  get(id: string): Run {
    return this.store.get(id);
  }

  list(options: { limit: number; before?: number }): Page {
    return this.store.list(options);
  }

  /**
   * Cancels a queued run at once, and asks a running one to stop; one that is stopping is left to it.
   * @throws {RequestError} not-found; failed-precondition: it has ended.
   */
  cancel(id: string): Run {
    const { state } = this.store.get(id);
    if (hasEnded(state)) throw new RequestError("failed-precondition", `Run "runs/${id}" is ${state} already`);
    if (this.queue.remove(id)) this.move(id, "CANCELLED", "Cancelled while it waited for the GPU");
    else if (state === "RUNNING") {
      this.move(id, "CANCELLING");
      // The job ends in the state CANCELLED by itself.
      this.queue.stop(id, new DOMException("The run was cancelled", "AbortError"));
    }
    return this.store.get(id);
  }

  /**
   * The events after a sequence, then those to come, until the run has ended.
   * The watcher pulls: it reads the next rows when it has passed the last on, so what it holds is bounded.
   * @throws {RequestError} not-found; out-of-range: the log is not that long.
   * @throws the signal's reason.
   */
  async *watch(id: string, after: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    const { lastSequence } = this.store.get(id);
    if (after > lastSequence) {
      throw new RequestError(
        "out-of-range",
        `Field "after_sequence" must be at most ${lastSequence}, the last of run "runs/${id}", got ${after}`,
      );
    }
    this.watchers++;
    try {
      yield* this.follow(id, after, signal);
    } finally {
      this.watchers--;
    }
  }

  private async *follow(id: string, after: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    let seen = after;
    while (true) {
      signal.throwIfAborted();
      const { events, ended } = this.reader.read(id, seen);
      if (ended) return;
      for (const event of events) {
        yield event;
        seen = event.sequence;
      }
      // Nothing was awaited since the log was read, so no event can have come between.
      if (events.length === 0) await this.bells.next(id, signal);
      // A long log is written without waiting for anything; the other calls get their turn.
      else if (events.length === this.reader.limit) await new Promise((resolve) => setTimeout(resolve));
    }
  }

  /** Stops the active run and fails all that have not ended; waits for the engine at most `patience` milliseconds. */
  async close(patience = 5_000): Promise<void> {
    this.closing = true;
    this.queue.clear();
    const { active } = this.queue;
    if (active !== undefined) {
      const timeout = Promise.withResolvers<void>();
      const timer = setTimeout(timeout.resolve, patience);
      await Promise.race([this.queue.stop(active, new DOMException(stopped, "AbortError")), timeout.promise]);
      clearTimeout(timer);
    }
    this.failUnfinished();
    this.closed = true;
    await this.watchersGone();
  }

  /** No run goes on, so the watchers end when they have told of it; those that do not read are not waited for. */
  private async watchersGone(): Promise<void> {
    const end = performance.now() + watcherPatience;
    do await new Promise((resolve) => setTimeout(resolve, 10)); while (this.watchers > 0 && performance.now() < end);
  }

  private failUnfinished(): void {
    for (const { id } of this.store.unfinished()) this.move(id, "FAILED", stopped);
  }

  /** One run's turn on the GPU; never throws. */
  private async train({ id, config }: Run, signal: AbortSignal): Promise<void> {
    let unrecorded: unknown;
    const coalescer = new EventCoalescer((event) => {
      try {
        // Told by jobs alone that were resumed or asked to pause, which these are not.
        if (event.kind !== "resumed" && event.kind !== "checkpointing" && event.kind !== "paused") {
          this.append(id, entryOf(event));
        }
      } catch (error) {
        // Called from a timer, too, where nobody could catch it.
        unrecorded ??= error;
      }
    }, this.metricsInterval);
    try {
      this.move(id, "RUNNING");
      for await (const event of this.engine.train({ config, folder: `runs/${id}`, resume: false }, signal)) {
        coalescer.push(event);
        if (unrecorded !== undefined) throw unrecorded;
      }
      coalescer.flush();
      if (unrecorded !== undefined) throw unrecorded;
      if (signal.aborted) this.endAborted(id);
      else this.move(id, "SUCCEEDED");
    } catch (error) {
      coalescer.flush();
      this.endAfter(error, id, signal);
    }
  }

  private endAfter(error: unknown, id: string, signal: AbortSignal): void {
    try {
      if (signal.aborted) return this.endAborted(id);
      this.log.error("run failed", error, { run: id });
      this.move(
        id,
        "FAILED",
        error instanceof EngineError ? error.message : "An internal error; the server's log has it",
      );
    } catch (storeError) {
      this.log.error("run could not be recorded", storeError, { run: id });
    }
  }

  private endAborted(id: string): void {
    // Else close() has aborted it, which fails it itself, and may not have waited for it.
    if (!this.closed && this.store.get(id).state === "CANCELLING") this.move(id, "CANCELLED", "Cancelled on request");
  }

  private move(id: string, state: RunState, statusMessage?: string): void {
    this.store.move(id, state, { time: Date.now(), statusMessage });
    this.log.info("run state", { run: id, state, status: statusMessage });
    this.announce(id);
  }

  private append(id: string, entry: RunEventEntry): void {
    // An engine slower to stop than close() waits: the run has FAILED already.
    if (this.closed) return;
    this.store.append(id, entry, Date.now());
    this.announce(id);
  }

  private announce(id: string): void {
    this.reader.forget();
    this.bells.ring(id);
  }
}

function entryOf(
  { step, epoch, ...body }: Exclude<TrainingEvent, { kind: "resumed" | "checkpointing" | "paused" }>,
): RunEventEntry {
  return { step, epoch, body };
}

/** Ten letters and digits: 50 random bits, read easily (no l, o, 0, 1). */
function newId(): string {
  const alphabet = "abcdefghijkmnpqrstuvwxyz23456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => alphabet[byte % alphabet.length]).join("");
}
