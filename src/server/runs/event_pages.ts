/** A run's log read by pages, down-sampled if asked. */
import { RequestError } from "../errors.ts";
import { isProgress, slotOf, thin } from "./progress_windows.ts";
import type { Run, RunEvent } from "./run.ts";
import type { RunStore } from "./store.ts";

export interface EventQuery {
  readonly after: number;
  /** Events a page has at most. */
  readonly limit: number;
  /** Windows that the steps so far are cut into, whose progress becomes one event; 0: everything as it is. */
  readonly windows: number;
  /** Of the page before. */
  readonly position?: PagePosition;
}

/** Where the next page starts, and what holds for all of them. */
export interface PagePosition {
  readonly after: number;
  /** The last event that belongs to the pages. */
  readonly last: number;
  /** Steps of a window; 0: no down-sampling. */
  readonly width: number;
  /** Of the first event that was not thinned out, then. */
  readonly earliest: number;
}

export interface EventPage {
  /** Oldest first. */
  readonly events: readonly RunEvent[];
  /** Undefined on the last page. */
  readonly next?: PagePosition;
  /** When the first page was read. */
  readonly lastSequence: number;
}

export class EventPages {
  constructor(private readonly store: RunStore) {}

  /**
   * @throws {RequestError} not-found; out-of-range: the log is not that long, or was thinned out after the page before.
   */
  read(id: string, query: EventQuery): EventPage {
    const run = this.store.get(id);
    const position = query.position ?? firstPosition(run, query);
    assertUnchanged(run, query.position);
    const { last, width } = position;
    const rows = width > 0
      ? this.wholeWindows(id, position, query.limit)
      : this.store.events(id, position.after, query.limit);
    const end = rows.at(-1)?.sequence ?? last;
    const inside = rows.filter(({ sequence }) => sequence <= last);
    return {
      events: width > 0 ? [...thin(inside, width)] : inside,
      next: end < last ? { ...position, after: end } : undefined,
      lastSequence: last,
    };
  }

  /** Rows that end with a window's last, as far as the log goes: `limit` at most, unless a window alone has more. */
  private wholeWindows(id: string, position: PagePosition, limit: number): readonly RunEvent[] {
    const { after, last, width } = position;
    const rows = this.store.events(id, after, limit);
    const newest = rows.findLast(isProgress);
    if (rows.length < limit || (rows.at(-1)?.sequence ?? 0) >= last || !newest) return rows;
    const slot = slotOf(newest, width);
    const start = rows.findIndex((row) => isProgress(row) && slotOf(row, width) === slot);
    return start > 0 ? rows.slice(0, start) : this.wholeWindows(id, position, limit * 2);
  }
}

function firstPosition(run: Run, { after, windows }: EventQuery): PagePosition {
  const { lastSequence: last, earliestSequence: earliest, progress } = run;
  if (after > last) {
    throw new RequestError(
      "out-of-range",
      `Field "after_sequence" must be at most ${last}, the last of run "runs/${run.id}", got ${after}`,
    );
  }
  return { after, last, earliest, width: windows > 0 ? Math.ceil((progress?.step ?? 0) / windows) || 1 : 0 };
}

/** Thinning out merges events across the end of a page. */
function assertUnchanged({ id, earliestSequence }: Run, position: PagePosition | undefined): void {
  if (!position || position.earliest === earliestSequence) return;
  if (position.after + 1 >= earliestSequence) return;
  throw new RequestError(
    "out-of-range",
    `The log of run "runs/${id}" was thinned out up to event ${earliestSequence} after the page before; read it again ` +
      `without page_token`,
  );
}
