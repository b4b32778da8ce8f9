/** Sources that have to be brought into the data folder before they can be imported. */
import { DatasetError } from "../errors.ts";

export interface TransferredSource {
  /** An interrupted import of the same identity goes on; undefined: nothing is kept of one. */
  readonly identity?: string;
  /**
   * @param folder an existing one, with what an earlier attempt has left
   * @returns the path, in the folder, of what is to be imported
   * @throws {DatasetError} `invalid`, `storage` or `unavailable`; the signal's reason
   */
  bring(folder: string, options: TransferOptions): Promise<string>;
}

export interface TransferOptions {
  readonly signal: AbortSignal;
  /** Bytes that came and that will; 0: not known. */
  onBytes?(done: number, total: number): void;
}

export interface TransferLimits {
  /** Of one source. */
  readonly maxBytes: number;
  /** Why so many bytes more should not be written to the data folder, as a sentence; undefined: there is room. */
  shortage(bytes: number): string | undefined;
}

/** Bytes between two looks at the room on the disk. */
const LOOK_EVERY = 64 * 2 ** 20;

/** Holds a transfer to the limits: to be told of what is announced, then of what came. */
export class TransferMeter {
  #nextLook = LOOK_EVERY;

  /** @param title begins messages: "Cannot fetch https://..." */
  constructor(readonly title: string, readonly limits: TransferLimits) {}

  /**
   * @param bytes of all, of which `toCome` are not there yet
   * @throws {DatasetError} where they are too many
   */
  announce(bytes: number, toCome = bytes): void {
    const { maxBytes } = this.limits;
    if (bytes > maxBytes) {
      throw new DatasetError("invalid", `${this.title}: it has ${bytes} bytes, at most ${maxBytes} are accepted`);
    }
    this.#checkRoom(toCome);
  }

  /** @param bytes that came by now @throws {DatasetError} where they are too many, or the disk has no more room */
  reach(bytes: number): void {
    const { maxBytes } = this.limits;
    if (bytes > maxBytes) {
      throw new DatasetError("invalid", `${this.title}: it has more than the ${maxBytes} bytes that are accepted`);
    }
    if (bytes < this.#nextLook) return;
    this.#nextLook = bytes + LOOK_EVERY;
    this.#checkRoom(0);
  }

  #checkRoom(bytes: number): void {
    const problem = this.limits.shortage(bytes);
    if (problem !== undefined) throw new DatasetError("storage", `${this.title}: ${problem}`);
  }
}

/** What a file of a client or an address is called here: one part of a path, with nothing that means something. */
export function safeFileName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? "";
  return last.replace(/[^A-Za-z0-9._-]/g, "_").replace(/^\.+/, "").slice(-100) || "source";
}
