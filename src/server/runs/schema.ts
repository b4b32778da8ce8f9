/** Whether a database file is ours, sound, and of the newest form. */
import type { DatabaseSync } from "node:sqlite";
import { ServerError } from "../errors.ts";
import { migrations } from "./migrations.ts";

/** "Mstp": marks the file as ours (SQLite's application_id). */
const applicationId = 0x4d737470;

/**
 * Makes the tables in an empty file, or checks that the file is a sound one and brings it to the newest version; a
 * step that fails leaves the file as it was.
 * @param path for the messages
 * @throws {ServerError} the file is another program's, of a newer version, or damaged.
 */
export function prepareSchema(database: DatabaseSync, path: string): void {
  const id = readNumber(database, "PRAGMA application_id");
  const version = readNumber(database, "PRAGMA user_version");
  const isNew = id === 0 && version === 0 && readNumber(database, "SELECT count(*) FROM sqlite_schema") === 0;
  if (!isNew) {
    if (id !== applicationId) throw new ServerError(`Cannot use "${path}": it is not a database of Multistep`);
    if (version > migrations.length) {
      throw new ServerError(
        `Cannot use "${path}": its format is version ${version}, this server reads version ${migrations.length} and older`,
      );
    }
    if (readValue(database, "PRAGMA quick_check(1)") !== "ok") throw damaged(path);
  }
  if (version === migrations.length) return;
  database.exec(`BEGIN; ${migrations.slice(version).join("")} PRAGMA application_id = ${applicationId};
    PRAGMA user_version = ${migrations.length}; COMMIT;`);
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
