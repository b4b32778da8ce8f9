/** Reads logs for watchers. Those who are up to date all ask for the same, so what was read is shared. */
import { RequestError } from "../errors.ts";
import type { RunEvent } from "./run.ts";
import { hasEnded } from "./state.ts";
import type { RunStore } from "./store.ts";

export interface EventBatch {
  readonly kind: "events";
  /** After the sequence asked for, oldest first. */
  readonly events: readonly RunEvent[];
  /** There are no events, and there will be none. */
  readonly ended: boolean;
}

/** Batches kept. */
const keptBatches = 16;

export class EventReader {
  private readonly batches = new Map<string, EventBatch>();

  /** @param limit events a batch has at most */
  constructor(private readonly store: RunStore, readonly limit: number) {}

  /** @throws {RequestError} not-found; out-of-range: what comes next was thinned out. */
  read(run: string, after: number): EventBatch {
    const key = `${run} ${after}`;
    const known = this.batches.get(key);
    if (known) return known;
    const { state, earliestSequence } = this.store.get(run);
    if (after + 1 < earliestSequence) throw thinnedOut(run, earliestSequence, after);
    const events = this.store.events(run, after, this.limit);
    const batch: EventBatch = { kind: "events", events, ended: events.length === 0 && hasEnded(state) };
    if (this.batches.size === keptBatches) this.batches.clear();
    this.batches.set(key, batch);
    return batch;
  }

  /** To be called after every change of the store. */
  forget(): void {
    this.batches.clear();
  }
}

function thinnedOut(run: string, earliest: number, after: number): RequestError {
  return new RequestError(
    "out-of-range",
    `Field "after_sequence" must be at least ${earliest - 1}, since the earliest event of run "runs/${run}" that can ` +
      `be watched is ${earliest}, got ${after}; ListRunEvents reads what is left of those before`,
  );
}
