/** Runs and their logs on disk. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { TrainingConfig } from "../../engine/mod.ts";
import { RequestError, ServerError } from "../errors.ts";
import { toJson } from "./json.ts";
import { applyEvent, type Run, type RunEvent, type RunEventEntry } from "./run.ts";
import { readEvent, readRun, runColumns } from "./rows.ts";
import { damaged, prepareSchema } from "./schema.ts";
import { assertLegalMove, type RunState, unfinishedStates } from "./state.ts";

export interface NewRun {
  readonly id: string;
  readonly config: TrainingConfig;
  readonly time: number;
  /** The client's; undefined: none. */
  readonly requestId?: string;
  /** Of the configuration as the client sent it; tells a repeated request from another one with the same id. */
  readonly requestDigest: string;
}

export interface Page {
  /** Newest first. */
  readonly runs: readonly Run[];
  /** `before` of the next page; undefined on the last. */
  readonly next?: number;
}

/** Every call is one transaction; a call that throws has changed nothing. Used by one thread of one process. */
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
      // WAL with NORMAL: a crash of the process loses nothing, a power cut perhaps the last events, never the file.
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
          (id, request_id, request_digest, state, config, create_time, status_message, last_sequence, attempt, checkpoints)
        VALUES (?, ?, ?, 'QUEUED', ?, ?, '', 0, 1, '[]')`)
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

  /** @param options.before only runs older than the one with this number */
  list(options: { limit: number; before?: number }): Page {
    const rows = this.statement("SELECT * FROM runs WHERE number < ? ORDER BY number DESC LIMIT ?")
      .all(options.before ?? Number.MAX_SAFE_INTEGER, options.limit + 1);
    const runs = rows.slice(0, options.limit);
    return { runs: runs.map(readRun), next: rows.length > options.limit ? Number(runs.at(-1)?.number) : undefined };
  }

  /** The runs that have not ended, oldest first. */
  unfinished(): readonly Run[] {
    const marks = unfinishedStates.map(() => "?").join(", ");
    return this.statement(`SELECT * FROM runs WHERE state IN (${marks}) ORDER BY number`).all(...unfinishedStates)
      .map(readRun);
  }

  /** How many runs are in each state that any is in. */
  countByState(): Readonly<Record<string, number>> {
    const rows = this.statement("SELECT state, COUNT(*) AS count FROM runs GROUP BY state").all();
    return Object.fromEntries(rows.map(({ state, count }) => [String(state), Number(count)]));
  }

  /** The events after a sequence, oldest first, at most `limit`. */
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
   * Moves a run to another state, as an event at the run's step.
   * @throws {RequestError} not-found; failed-precondition: the move is illegal.
   */
  move(id: string, state: RunState, options: { time: number; statusMessage?: string }): RunEvent {
    const { step = 0, epoch = 0 } = this.get(id).progress ?? {};
    const body = { kind: "state", state, statusMessage: options.statusMessage ?? "" } as const;
    return this.append(id, { step, epoch, body }, options.time);
  }

  close(): void {
    this.database.close();
  }

  private write(run: Run, entry: RunEventEntry, time: number): RunEvent {
    const event = { ...entry, run: run.id, sequence: run.lastSequence + 1, time, attempt: run.attempt };
    this.statement(`INSERT INTO events (run, sequence, time, attempt, step, epoch, body) VALUES (?, ?, ?, ?, ?, ?, ?)`)
      .run(run.id, event.sequence, time, event.attempt, event.step, event.epoch, toJson(event.body));
    this.statement(`UPDATE runs SET state = ?, start_time = ?, end_time = ?, progress = ?, evaluation = ?,
        status_message = ?, last_sequence = ?, attempt = ?, checkpoints = ? WHERE id = ?`)
      .run(...runColumns(applyEvent(run, event)), run.id);
    return event;
  }

  private statement(text: string): StatementSync {
    let statement = this.statements.get(text);
    if (!statement) this.statements.set(text, statement = this.database.prepare(text));
    return statement;
  }

  private transaction<T>(work: () => T): T {
    this.database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.database.exec("COMMIT");
      return result;
    } catch (error) {
      this.database.exec("ROLLBACK");
      throw error;
    }
  }
}
