/** The logs of runs as watchers follow them. */
import { Bells } from "../bells.ts";
import { RequestError } from "../errors.ts";
import { EventReader } from "./event_reader.ts";
import type { RunEvent } from "./run.ts";
import type { RunStore } from "./store.ts";

/** What a watcher is told at a time. */
export type FeedNews =
  /** At least one; the same object for all who are told the same. */
  | { readonly kind: "events"; readonly events: readonly RunEvent[] }
  | Heartbeat;

/** What a watcher is told, one by one. */
export type FeedItem = { readonly kind: "event"; readonly event: RunEvent } | Heartbeat;

/** Nothing happened for a while. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  /** The last sequence told. */
  readonly lastSequence: number;
}

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
  async *follow(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedNews> {
    const { lastSequence } = this.store.get(id);
    if (after > lastSequence) {
      throw new RequestError(
        "out-of-range",
        `Field "after_sequence" must be at most ${lastSequence}, the last of run "runs/${id}", got ${after}`,
      );
    }
    this.watchers++;
    try {
      yield* this.news(id, after, signal);
    } finally {
      this.watchers--;
    }
  }

  /** The same, one by one. */
  async *watch(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedItem> {
    for await (const news of this.follow(id, after, signal)) yield* itemsOf(news);
  }

  /** No run goes on: the watchers end when they have told of it; those that do not read are not waited for. */
  async close(): Promise<void> {
    this.closing = true;
    this.bells.ringAll();
    const end = performance.now() + watcherPatience;
    do await new Promise((resolve) => setTimeout(resolve, 10)); while (this.watchers > 0 && performance.now() < end);
  }

  private async *news(id: string, after: number, signal: AbortSignal): AsyncGenerator<FeedNews> {
    let seen = after;
    while (true) {
      signal.throwIfAborted();
      const batch = this.reader.read(id, seen);
      if (batch.ended) return;
      const last = batch.events.at(-1);
      if (last) {
        yield batch;
        seen = last.sequence;
        // A long log is written without waiting for anything; the other calls get their turn.
        if (batch.events.length === this.reader.limit) await new Promise((resolve) => setTimeout(resolve));
        continue;
      }
      if (this.closing) {
        throw new RequestError("unavailable", "The server is shutting down; runs go on when it is back");
      }
      // Nothing was awaited since the log was read, so no event can have come between.
      const rang = await this.bells.next(id, signal, this.heartbeatInterval);
      if (!rang) yield { kind: "heartbeat", lastSequence: seen };
    }
  }
}

/** What a watcher is told at a time, one by one. */
export function* itemsOf(news: FeedNews): Generator<FeedItem> {
  if (news.kind === "heartbeat") return yield news;
  for (const event of news.events) yield { kind: "event", event };
}
