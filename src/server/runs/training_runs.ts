/** Training runs: started, steered, followed. A run's life depends on no client's stream. */
import { join } from "node:path";
import type { Engine, TrainingConfig } from "../../engine/mod.ts";
import { RequestError } from "../errors.ts";
import type { Log } from "../log.ts";
import { PlanningTurns } from "../planning_turns.ts";
import { DiskSpace } from "./disk_space.ts";
import { type EventPage, EventPages, type EventQuery } from "./event_pages.ts";
import type { Run } from "./run.ts";
import { type FeedItem, type FeedNews, RunFeed } from "./run_feed.ts";
import { RunLog } from "./run_log.ts";
import { RunScheduler } from "./scheduler.ts";
import { hasEnded } from "./state.ts";
import type { Page, RunFilter, RunStore } from "./store.ts";

export interface TrainingRunsOptions extends RunLimits {
  readonly store: RunStore;
  readonly engine: Engine;
  readonly log: Log;
  /** Absolute. */
  readonly dataDir: string;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: () => number;
}

export interface RunLimits {
  /** Milliseconds between two log entries of metrics; default 250. */
  readonly metricsInterval?: number;
  /** Events a watcher reads at a time; default 100. */
  readonly watchBatch?: number;
  /** Milliseconds of silence after which a watcher gets a heartbeat; default 10 s. */
  readonly heartbeatInterval?: number;
  /** Newest events of a run that can be watched; those before are thinned out. Default 10,000. */
  readonly keptEvents?: number;
  /** Bytes of the disk to be kept free; default 256 MiB, 0: none. */
  readonly minFreeDisk?: number;
  /** Milliseconds between two looks at the disk; default 2 s. */
  readonly diskInterval?: number;
  /** Runs that may wait for the GPU; default: any number. */
  readonly maxQueued?: number;
}

export interface StartOptions {
  readonly requestId?: string;
  readonly requestDigest: string;
  /** Aborted before the run is there, none is made: its name was told to nobody. */
  readonly signal?: AbortSignal;
}

export class TrainingRuns {
  private readonly store: RunStore;
  private readonly engine: Engine;
  private readonly log: Log;
  private readonly dataDir: string;
  private readonly now: () => number;
  private readonly feed: RunFeed;
  private readonly runs: RunLog;
  private readonly pages: EventPages;
  private readonly maxQueued: number;
  private readonly planning = new PlanningTurns();
  private readonly scheduler: RunScheduler;
  private closing = false;

  /** Queues what a server that is gone has left unfinished. */
  constructor(options: TrainingRunsOptions) {
    ({ store: this.store, engine: this.engine, log: this.log, dataDir: this.dataDir } = options);
    const { store, engine, log, dataDir, now = Date.now, watchBatch: batch = 100, heartbeatInterval = 10_000 } =
      options;
    const { metricsInterval = 250, keptEvents = 10_000, minFreeDisk = 256 * 2 ** 20, diskInterval = 2_000 } = options;
    this.now = now;
    this.maxQueued = options.maxQueued ?? Infinity;
    this.feed = new RunFeed({ store, heartbeatInterval, batch });
    this.runs = new RunLog({ store, feed: this.feed, log, keptEvents, now });
    this.pages = new EventPages(store);
    const disk = new DiskSpace(dataDir, minFreeDisk);
    this.scheduler = new RunScheduler({ store, runs: this.runs, engine, log, disk, diskInterval, metricsInterval });
  }

  /** Lets the runs train. To be called once the server is one, so that a start that fails has moved no run. */
  begin(): void {
    this.scheduler.begin();
  }

  /** The run that trains. */
  get active(): string | undefined {
    return this.scheduler.active;
  }

  /** Runs that wait for the GPU. */
  get queued(): number {
    return this.scheduler.queued;
  }

  /**
   * Adds a run and queues it; a request id that is known gives the run it made.
   * @throws {EngineError} the engine cannot train this.
   * @throws {RequestError} already-exists: the id was used for another configuration; unavailable: closing;
   * resource-exhausted: too many wait, for the GPU or to be planned.
   * @throws the signal's reason.
   */
  async start(config: TrainingConfig, { signal, ...request }: StartOptions): Promise<Run> {
    const known = this.store.findByRequest(request.requestId, request.requestDigest);
    if (known) return this.get(known.id);
    this.assertQueueTakes();
    await this.planning.take(() => this.engine.check(config, signal), signal);
    signal?.throwIfAborted();
    this.assertQueueTakes();
    const { run, created } = this.store.create({ id: newId(), config, time: this.now(), ...request });
    if (created) {
      this.log.info("run created", { run: run.id, model: config.model.name, dataset: config.dataset });
      this.scheduler.enqueue(run);
    }
    return this.get(run.id);
  }

  /** @throws {RequestError} not-found. */
  get(id: string): Run {
    return this.runs.get(id);
  }

  list(filter: RunFilter): Page {
    return this.runs.list(filter);
  }

  /**
   * Cancels a queued or paused run at once, and asks a running one to stop; one that is stopping is left to it.
   * @throws {RequestError} not-found; failed-precondition: it has ended.
   */
  cancel(id: string): Run {
    const { state } = this.assertUnfinished(id);
    if (state === "QUEUED") {
      this.runs.move(id, { state: "CANCELLED", statusMessage: "Cancelled while it waited for the GPU" });
      this.scheduler.dequeue(id);
    } else if (state === "PAUSED") {
      this.runs.move(id, { state: "CANCELLED", statusMessage: "Cancelled while it was paused" });
    } else if (state !== "CANCELLING") {
      this.runs.move(id, { state: "CANCELLING", statusMessage: "Cancelled on request" });
      this.scheduler.cancel(id);
    }
    return this.get(id);
  }

  /**
   * Pauses a queued run at once, and asks a running one to write a checkpoint and let go of the GPU. One that the
   * server has paused stays so until it is resumed.
   * @throws {RequestError} not-found; failed-precondition: it has ended or is being cancelled.
   */
  pause(id: string): Run {
    const { state, resumesItself } = this.assertUnfinished(id);
    const statusMessage = "Paused on request";
    if (state === "QUEUED") {
      this.runs.move(id, { state: "PAUSED", statusMessage });
      this.scheduler.dequeue(id);
    } else if (state === "RUNNING" || state === "CANCELLING") {
      this.runs.move(id, { state: "PAUSING", statusMessage });
      this.scheduler.pause(id);
    } else if (resumesItself) {
      this.runs.move(id, { state, statusMessage });
    }
    return this.get(id);
  }

  /**
   * Queues a paused run; one that is queued or running stays so.
   * @throws {RequestError} not-found; failed-precondition: it has ended, or is on its way to another state; unavailable:
   * closing; resource-exhausted: too many wait.
   */
  resume(id: string): Run {
    const { state } = this.assertUnfinished(id);
    if (state === "PAUSING") {
      throw new RequestError("failed-precondition", `Run "runs/${id}" is PAUSING; resume it when it is PAUSED`);
    }
    if (state === "QUEUED" || state === "RUNNING") return this.get(id);
    this.assertQueueTakes();
    this.runs.move(id, { state: "QUEUED", statusMessage: "Resumed on request" });
    this.scheduler.enqueue(this.get(id));
    return this.get(id);
  }

  /** A new run of the same configuration. @throws as `start()`; {RequestError} not-found. */
  async restart(id: string, options: StartOptions): Promise<Run> {
    return await this.start(this.get(id).config, options);
  }

  /**
   * Removes a run that has ended or is paused, with its files.
   * @throws {RequestError} not-found; failed-precondition: it is neither.
   */
  async delete(id: string): Promise<void> {
    const { state } = this.get(id);
    if (!hasEnded(state) && state !== "PAUSED") {
      throw new RequestError(
        "failed-precondition",
        `Run "runs/${id}" is ${state}; cancel or pause it, and delete it when it is CANCELLED or PAUSED`,
      );
    }
    // Nobody resumes it meanwhile.
    if (state === "PAUSED") this.runs.move(id, { state: "CANCELLED", statusMessage: "Deleted on request" });
    // The files first: what a crash leaves of the run can be deleted again.
    await removeFolder(join(this.dataDir, "runs", id));
    this.runs.delete(id);
    this.log.info("run deleted", { run: id });
  }

  /** The events after a sequence, then those to come, until the run has ended. @throws as `RunFeed.follow()` */
  follow(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedNews> {
    return this.feed.follow(id, after, signal);
  }

  /** The same, one by one. */
  watch(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedItem> {
    return this.feed.watch(id, after, signal);
  }

  /** A page of a run's log. @throws as `EventPages.read()` */
  events(id: string, query: EventQuery): EventPage {
    return this.pages.read(id, query);
  }

  /**
   * Lets the active run write a checkpoint, within `patience` milliseconds, and the watchers know that the server
   * stops. What has not ended goes on with the next server.
   */
  async close(patience = 10_000): Promise<void> {
    this.closing = true;
    await this.scheduler.close(patience);
    this.runs.close();
    await this.feed.close();
  }

  private assertQueueTakes(): void {
    if (this.closing) throw new RequestError("unavailable", "The server is shutting down");
    if (this.scheduler.queued < this.maxQueued) return;
    throw new RequestError(
      "resource-exhausted",
      `At most ${this.maxQueued} runs wait for the GPU, and as many do: cancel one, or try again later`,
    );
  }

  private assertUnfinished(id: string): Run {
    const run = this.get(id);
    if (!hasEnded(run.state)) return run;
    throw new RequestError("failed-precondition", `Run "runs/${id}" is ${run.state} already`);
  }
}

async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Ten letters and digits: 50 random bits, read easily (no l, o, 0, 1). */
function newId(): string {
  const alphabet = "abcdefghijkmnpqrstuvwxyz23456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => alphabet[byte % alphabet.length]).join("");
}
