/** The logs of runs as watchers follow them. */
import { Bells } from "../bells.ts";
import { RequestError } from "../errors.ts";
import { EventReader } from "./event_reader.ts";
import type { RunEvent } from "./run.ts";
import type { RunStore } from "./store.ts";

/** What a watcher is told. */
export type FeedItem =
  | { readonly kind: "event"; readonly event: RunEvent }
  /** Nothing happened for a while; the last sequence told. */
  | { readonly kind: "heartbeat"; readonly lastSequence: number };

export interface RunFeedOptions {
  readonly store: RunStore;
  /** Milliseconds of silence after which a watcher gets a heartbeat. */
  readonly heartbeatInterval: number;
  /** Events a watcher reads at a time. */
  readonly batch: number;
}

/** Milliseconds that watchers have for the last events when the server stops. */
const watcherPatience = 1_000;

export class RunFeed {
  private readonly store: RunStore;
  private readonly bells = new Bells();
  private readonly reader: EventReader;
  private readonly heartbeatInterval: number;
  private closing = false;
  private watchers = 0;

  constructor({ store, heartbeatInterval, batch }: RunFeedOptions) {
    this.store = store;
    this.heartbeatInterval = heartbeatInterval;
    this.reader = new EventReader(store, batch);
  }

  /** To be called after every change of a run or its log. */
  announce(id: string): void {
    this.reader.forget();
    this.bells.ring(id);
  }

  /**
   * The events after a sequence, then those to come, until the run has ended.
   * The watcher pulls: it reads the next rows when it has passed the last on, so what it holds is bounded.
   * @throws {RequestError} not-found; out-of-range: the log is not that long, or no more there from so early on;
   *   unavailable: the server stops.
   * @throws the signal's reason.
   */
  async *watch(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedItem> {
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

  /** No run goes on: the watchers end when they have told of it; those that do not read are not waited for. */
  async close(): Promise<void> {
    this.closing = true;
    this.bells.ringAll();
    const end = performance.now() + watcherPatience;
    do await new Promise((resolve) => setTimeout(resolve, 10)); while (this.watchers > 0 && performance.now() < end);
  }

  private async *follow(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedItem> {
    let seen = after;
    while (true) {
      signal.throwIfAborted();
      const { events, ended } = this.reader.read(id, seen);
      if (ended) return;
      for (const event of events) {
        yield { kind: "event", event };
        seen = event.sequence;
      }
      if (events.length === 0) {
        if (this.closing) {
          throw new RequestError("unavailable", "The server is shutting down; runs go on when it is back");
        }
        // Nothing was awaited since the log was read, so no event can have come between.
        const rang = await this.bells.next(id, signal, this.heartbeatInterval);
        if (!rang) yield { kind: "heartbeat", lastSequence: seen };
      } else if (events.length === this.reader.limit) {
        // A long log is written without waiting for anything; the other calls get their turn.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
  }
}
