/** The tables of the run store, and the check that a file is ours. */
import type { DatabaseSync } from "node:sqlite";
import { ServerError } from "../errors.ts";

/** "Mstp": marks the file as ours (SQLite's application_id). */
const applicationId = 0x4d737470;

/** SQLite's user_version; one more with every change of the tables. */
const schemaVersion = 1;

// Configurations, metrics and event bodies are JSON. `number` orders the runs by creation.
const tables = `
  CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    request_id TEXT UNIQUE,
    request_digest TEXT NOT NULL,
    state TEXT NOT NULL,
    config TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    start_time INTEGER,
    end_time INTEGER,
    progress TEXT,
    evaluation TEXT,
    status_message TEXT NOT NULL,
    last_sequence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    checkpoints TEXT NOT NULL
  ) STRICT;
  CREATE INDEX runs_by_state ON runs (state);
  CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    time INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, sequence)
  ) STRICT, WITHOUT ROWID;
`;

/**
 * Makes the tables in an empty file, or checks that the file is a sound one of this version.
 * @param path for the messages
 * @throws {ServerError} the file is another program's, of a newer version, or damaged.
 */
export function prepareSchema(database: DatabaseSync, path: string): void {
  const id = readNumber(database, "PRAGMA application_id");
  const version = readNumber(database, "PRAGMA user_version");
  if (id === 0 && version === 0 && readNumber(database, "SELECT count(*) FROM sqlite_schema") === 0) {
    database.exec(`BEGIN; ${tables} PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion};
      COMMIT;`);
    return;
  }
  if (id !== applicationId) throw new ServerError(`Cannot use "${path}": it is not a database of Multistep`);
  if (version !== schemaVersion) {
    throw new ServerError(
      `Cannot use "${path}": its format is version ${version}, this server reads version ${schemaVersion}`,
    );
  }
  if (readValue(database, "PRAGMA quick_check(1)") !== "ok") throw damaged(path);
}

/** @param cause what SQLite said */
export function damaged(path: string, cause?: unknown): ServerError {
  return new ServerError(
    `Cannot use "${path}": the database is damaged or not one of Multistep; move it away, with its -wal file, or put a copy back`,
    { cause },
  );
}

function readValue(database: DatabaseSync, query: string): unknown {
  return Object.values(database.prepare(query).get() ?? {})[0];
}

function readNumber(database: DatabaseSync, query: string): number {
  return Number(readValue(database, query));
}
