/** Runs and their logs on disk. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { TrainingConfig } from "../../engine/mod.ts";
import { RequestError, ServerError } from "../errors.ts";
import { toJson } from "./json.ts";
import { thin } from "./progress_windows.ts";
import { applyEvent, nextEvent, type Run, type RunEvent, type RunEventEntry, type StateBody } from "./run.ts";
import { readEvent, readRun, runColumns } from "./rows.ts";
import { damaged, prepareSchema } from "./schema.ts";
import { assertLegalMove, type RunState, unfinishedStates } from "./state.ts";
import { asStorageError } from "./storage_error.ts";

export interface NewRun {
  readonly id: string;
  readonly config: TrainingConfig;
  readonly time: number;
  /** The client's; undefined: none. */
  readonly requestId?: string;
  /** Of the configuration as the client sent it; tells a repeated request from another one with the same id. */
  readonly requestDigest: string;
}

export interface RunFilter {
  readonly limit: number;
  /** Only runs older than the one with this number. */
  readonly before?: number;
  /** Undefined: all. */
  readonly states?: readonly RunState[];
}

export interface Page {
  /** Newest first. */
  readonly runs: readonly Run[];
  /** `before` of the next page; undefined on the last. */
  readonly next?: number;
}

/** Where a move leads, and what is told of it. */
export type Move = Omit<StateBody, "kind" | "statusMessage"> & { readonly statusMessage?: string };

/** The end of the queue. */
const nextOrder = "SELECT coalesce(max(queue_order), 0) + 1 FROM runs";

/**
 * Every call is one transaction; a call that throws has changed nothing. Used by one thread of one process.
 * Calls that write throw a `StorageError` when the disk takes no more.
 */
export class RunStore {
  private readonly statements = new Map<string, StatementSync>();

  private constructor(private readonly database: DatabaseSync) {}

  /**
   * Opens the database at `path`, made if it is missing.
   * @throws {ServerError} it is not ours, damaged, or cannot be written.
   */
  static open(path: string): RunStore {
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path);
      // WAL with NORMAL: a crash of the process loses nothing, a power cut at most what came after the last `sync()`.
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
      prepareSchema(database, path);
      return new RunStore(database);
    } catch (error) {
      database?.close();
      if (error instanceof ServerError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      if (/not a database|malformed|corrupt/.test(message)) throw damaged(path, error);
      throw new ServerError(`Cannot open "${path}": ${message}`, { cause: error });
    }
  }

  /**
   * Adds a run in state QUEUED, with its first event.
   * @returns the run, and whether it is new: a known request id gives the run it made.
   * @throws {RequestError} already-exists: the request id was used with another configuration.
   */
  create(run: NewRun): { run: Run; created: boolean } {
    return this.transaction(() => {
      const known = this.findByRequest(run.requestId, run.requestDigest);
      if (known) return { run: known, created: false };
      this.statement(`INSERT INTO runs
          (id, request_id, request_digest, state, config, create_time, status_message, last_sequence, attempt,
            checkpoints, queue_order)
        VALUES (?, ?, ?, 'QUEUED', ?, ?, '', 0, 1, '[]', (${nextOrder}))`)
        .run(run.id, run.requestId ?? null, run.requestDigest, toJson(run.config), run.time);
      const body = { kind: "state", state: "QUEUED", statusMessage: "" } as const;
      this.write(this.get(run.id), { step: 0, epoch: 0, body }, run.time);
      return { run: this.get(run.id), created: true };
    });
  }

  /**
   * The run that a request id made; undefined: none has.
   * @throws {RequestError} already-exists: it was used with another configuration.
   */
  findByRequest(requestId: string | undefined, requestDigest: string): Run | undefined {
    if (requestId === undefined) return undefined;
    const row = this.statement("SELECT * FROM runs WHERE request_id = ?").get(requestId);
    if (!row) return undefined;
    const run = readRun(row);
    if (row.request_digest === requestDigest) return run;
    throw new RequestError(
      "already-exists",
      `Request id ${JSON.stringify(requestId)} started run "runs/${run.id}" with another configuration; use a new id`,
    );
  }

  /** @throws {RequestError} not-found. */
  get(id: string): Run {
    const row = this.statement("SELECT * FROM runs WHERE id = ?").get(id);
    if (!row) throw new RequestError("not-found", `There is no run "runs/${id}"; ListRuns tells which there are`);
    return readRun(row);
  }

  list({ limit, before = Number.MAX_SAFE_INTEGER, states }: RunFilter): Page {
    const rows = this.statement(`SELECT * FROM runs
        WHERE number < ? AND (? OR state IN (SELECT value FROM json_each(?))) ORDER BY number DESC LIMIT ?`)
      .all(before, Number(states === undefined), JSON.stringify(states ?? []), limit + 1);
    const runs = rows.slice(0, limit);
    return { runs: runs.map(readRun), next: rows.length > limit ? Number(runs.at(-1)?.number) : undefined };
  }

  /** The runs that have not ended, in the order of the queue. */
  unfinished(): readonly Run[] {
    return this.statement("SELECT * FROM runs WHERE state IN (SELECT value FROM json_each(?)) ORDER BY queue_order")
      .all(JSON.stringify(unfinishedStates)).map(readRun);
  }

  /** How many runs are in each state that any is in. */
  countByState(): Readonly<Record<string, number>> {
    const rows = this.statement("SELECT state, COUNT(*) AS count FROM runs GROUP BY state").all();
    return Object.fromEntries(rows.map(({ state, count }) => [String(state), Number(count)]));
  }

  /** The events after a sequence, oldest first, at most `limit`; those before the earliest have gaps. */
  events(id: string, after: number, limit: number): readonly RunEvent[] {
    return this.statement("SELECT * FROM events WHERE run = ? AND sequence > ? ORDER BY sequence LIMIT ?")
      .all(id, after, limit).map(readEvent);
  }

  /**
   * Adds an event, numbered by the store, and brings the run up to it.
   * @throws {RequestError} not-found; failed-precondition: the event is an illegal move.
   */
  append(id: string, entry: RunEventEntry, time: number): RunEvent {
    return this.transaction(() => {
      const run = this.get(id);
      if (entry.body.kind === "state") assertLegalMove(id, run.state, entry.body.state);
      return this.write(run, entry, time);
    });
  }

  /**
   * Moves a run to another state, as an event at the run's step. A run that a user resumes goes to the end of the
   * queue; one that was interrupted keeps its place.
   * @throws {RequestError} not-found; failed-precondition: the move is illegal.
   */
  move(id: string, { statusMessage = "", ...move }: Move, time: number): RunEvent {
    return this.transaction(() => {
      const run = this.get(id);
      assertLegalMove(id, run.state, move.state);
      if (run.state === "PAUSED" && move.state === "QUEUED" && !run.resumesItself) {
        this.statement(`UPDATE runs SET queue_order = (${nextOrder}) WHERE id = ?`).run(id);
      }
      const { step = 0, epoch = 0 } = run.progress ?? {};
      return this.write(run, { step, epoch, body: { kind: "state", statusMessage, ...move } }, time);
    });
  }

  /** Removes a run and its events. */
  delete(id: string): void {
    this.transaction(() => this.statement("DELETE FROM runs WHERE id = ?").run(id));
  }

  /**
   * Thins out the events before a sequence: their progress to one event in `width` steps, what was told of preparing
   * to nothing.
   */
  thinOut(id: string, { before, width }: { readonly before: number; readonly width: number }): void {
    this.transaction(() => {
      const old = this.statement("SELECT * FROM events WHERE run = ? AND sequence < ? ORDER BY sequence")
        .all(id, before).map(readEvent);
      const kept = new Map(
        [...thin(old.filter(({ body }) => body.kind !== "preparing"), width)].map((event) => [event.sequence, event]),
      );
      for (const event of old) {
        const now = kept.get(event.sequence);
        if (!now) this.statement("DELETE FROM events WHERE run = ? AND sequence = ?").run(id, event.sequence);
        else if (now.body !== event.body) {
          this.statement("UPDATE events SET body = ? WHERE run = ? AND sequence = ?")
            .run(toJson(now.body), id, event.sequence);
        }
      }
      this.statement("UPDATE runs SET earliest_sequence = ? WHERE id = ?").run(before, id);
    });
  }

  /** Makes all that was written so far outlive a power cut too. */
  sync(): void {
    this.guard(() => this.database.exec("PRAGMA wal_checkpoint(PASSIVE)"));
  }

  close(): void {
    this.database.close();
  }

  private write(run: Run, entry: RunEventEntry, time: number): RunEvent {
    const event = nextEvent(run, entry, time);
    this.statement(`INSERT INTO events (run, sequence, time, attempt, step, epoch, body) VALUES (?, ?, ?, ?, ?, ?, ?)`)
      .run(run.id, event.sequence, event.time, event.attempt, event.step, event.epoch, toJson(event.body));
    const columns: Record<string, SQLInputValue> = runColumns(applyEvent(run, event));
    const assignments = Object.keys(columns).map((column) => `${column} = ?`).join(", ");
    this.statement(`UPDATE runs SET ${assignments} WHERE id = ?`).run(...Object.values(columns), run.id);
    return event;
  }

  private statement(text: string): StatementSync {
    let statement = this.statements.get(text);
    if (!statement) this.statements.set(text, statement = this.database.prepare(text));
    return statement;
  }

  private transaction<T>(work: () => T): T {
    return this.guard(() => {
      this.database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        this.database.exec("COMMIT");
        return result;
      } catch (error) {
        // SQLite has rolled back by itself where the disk is full.
        if (this.database.isTransaction) this.database.exec("ROLLBACK");
        throw error;
      }
    });
  }

  private guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw asStorageError(error) ?? error;
    }
  }
}
