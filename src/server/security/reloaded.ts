/** Files that may change while the server runs: read again when they do. */
import { ServerError } from "../errors.ts";
import type { Log } from "../log.ts";

/** Milliseconds between two looks at the files. */
const defaultInterval = 1_000;

export interface ReloadedOptions<T> {
  readonly paths: readonly string[];
  /** @throws {ServerError} they cannot be used. */
  load(): T;
  /** Called with what a changed file gave. */
  onChange?(value: T): void;
  readonly log: Log;
  /** Milliseconds. */
  readonly interval?: number;
}

/** What files hold. While they cannot be used, what they held before counts on. */
export class Reloaded<T> implements Disposable {
  private current: T;
  private stamp: string;
  private readonly timer: ReturnType<typeof setInterval>;

  /** @throws {ServerError} the files cannot be used. */
  constructor(private readonly options: ReloadedOptions<T>) {
    this.stamp = stampOf(options.paths);
    this.current = options.load();
    this.timer = setInterval(() => this.look(), options.interval ?? defaultInterval);
  }

  get value(): T {
    return this.current;
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const { paths, load, onChange, log } = this.options;
    const stamp = stampOf(paths);
    if (stamp === this.stamp) return;
    this.stamp = stamp;
    try {
      this.current = load();
      onChange?.(this.current);
      log.info("files read again", { paths: paths.join(", ") });
    } catch (error) {
      log.error("changed files cannot be used; what they held before counts on", error, { paths: paths.join(", ") });
    }
  }
}

/** Differs when a file has changed. */
function stampOf(paths: readonly string[]): string {
  return paths.map((path) => {
    try {
      const { mtime, size, ino } = Deno.statSync(path);
      return `${mtime?.getTime()} ${size} ${ino}`;
    } catch {
      return "none";
    }
  }).join("\n");
}

/** More than any file of keys or tokens; a device may have no end. */
const longest = 2 ** 20;

/** @throws {ServerError} it cannot be read, or is longer than 1 MiB. */
export function readFile(path: string, what: string): string {
  try {
    return new TextDecoder().decode(readBytes(path));
  } catch (error) {
    if (error instanceof RangeError) {
      throw new ServerError(`Cannot read the ${what} "${path}": it is longer than ${longest} bytes`, { cause: error });
    }
    const reason = error instanceof Deno.errors.NotFound ? "it does not exist" : "it is no file that can be read";
    throw new ServerError(`Cannot read the ${what} "${path}": ${reason}`, { cause: error });
  }
}

/** Piece by piece, since a pipe, as of a shell's `<(...)`, has no size. @throws {RangeError} */
function readBytes(path: string): Uint8Array {
  using file = Deno.openSync(path);
  const bytes = new Uint8Array(longest + 1);
  let length = 0;
  for (let read: number | null = 0; read !== null && length < bytes.length; length += read ?? 0) {
    read = file.readSync(bytes.subarray(length));
  }
  if (length > longest) throw new RangeError("The file is too long");
  return bytes.subarray(0, length);
}
