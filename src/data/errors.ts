/** Everything that data/ throws on purpose. Messages are fit for a user. */

/** A data set that is neither built in nor imported; `available` are the names that exist. */
export class UnknownDatasetError extends Error {
  override readonly name = "UnknownDatasetError";
  constructor(readonly dataset: string, readonly available: readonly string[]) {
    const shown = dataset.length > 80 ? `${dataset.slice(0, 80)}...` : dataset;
    super(`Cannot find data set "${shown}": there are ${available.join(", ")}`);
  }
}

/**
 * `invalid`: the name, the options or what was to be imported is at fault; `exists`: the name is taken;
 * `damaged`: the packed files are not what was written; `storage`: the data folder cannot be written or read;
 * `unavailable`: what is to be fetched cannot be had now.
 */
export type DatasetErrorKind = "invalid" | "exists" | "damaged" | "storage" | "unavailable";

export class DatasetError extends Error {
  override readonly name = "DatasetError";
  constructor(readonly kind: DatasetErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** An image that cannot be used: not PNG, JPEG or WebP, truncated, damaged, too large, or of the wrong size for its bytes. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}

/** The operating system's name of what went wrong ("ENOSPC"), where the error came from it. */
function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof Deno.errors.NotFound) return "ENOENT";
  if (error instanceof Deno.errors.PermissionDenied) return "EACCES";
  return undefined;
}

const STORAGE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "the data folder is not writable",
  EPERM: "the data folder is not writable",
  EROFS: "the data folder is on a read-only file system",
  ENOTDIR: "the data folder's path leads through a file",
  EFBIG: "a file would grow past the limit of the file system",
  EMFILE: "too many files are open",
};

/**
 * Turns an error of the file system into a `DatasetError` that says what could not be done and why;
 * any other error comes back as it is. Paths stay out of the text: it may travel to a client.
 *
 * @param task what was being done, as in `Cannot write data set "x"`
 */
export function asStorageError(error: unknown, task: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof DatasetError) return error;
  return new DatasetError("storage", `${task}: ${STORAGE_PROBLEMS[code] ?? `the system says ${code}`}`, {
    cause: error,
  });
}

/**
 * The same for what is being imported.
 *
 * @param path as the user would name it: relative to what was given to `import`
 */
export function asSourceError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof DatasetError) return error;
  const problem = code === "ENOENT"
    ? "it does not exist"
    : code === "EACCES" || code === "EPERM"
    ? "the server may not read it"
    : `the system says ${code}`;
  return new DatasetError("invalid", `Cannot read ${path}: ${problem}`, { cause: error });
}

export function isNotFound(error: unknown): boolean {
  return systemCode(error) === "ENOENT";
}
