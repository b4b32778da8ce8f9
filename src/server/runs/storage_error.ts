/** Errors of a disk that takes no more. */

/** What is to be kept cannot be written now; it may be later. The message is for users, and names no path. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

/** SQLite's own words; node:sqlite gives no code. */
const reasons: readonly [pattern: RegExp, message: string][] = [
  [/database or disk is full/, "No room on the server's disk"],
  [/readonly database|unable to open database file/, "The server's data folder cannot be written"],
  [/disk I\/O error/, "The server's disk fails to read or write"],
];

/** A `StorageError` for an error of SQLite that says so; undefined for any other. */
export function asStorageError(error: unknown): StorageError | undefined {
  if (!(error instanceof Error)) return undefined;
  const known = reasons.find(([pattern]) => pattern.test(error.message));
  return known && new StorageError(known[1], { cause: error });
}
