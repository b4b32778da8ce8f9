import { createHash } from "node:crypto";
import { asStorageError } from "../errors.ts";
import type { FileRecord } from "./manifest.ts";

/** A file of a data set that is being written, with its length and checksum so far. */
export class DataFile implements Disposable {
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #open = true;

  private constructor(readonly file: Deno.FsFile, readonly task: string) {}

  static async create(path: string, task: string): Promise<DataFile> {
    try {
      return new DataFile(await Deno.open(path, { write: true, createNew: true }), task);
    } catch (error) {
      throw asStorageError(error, task);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) at += await this.file.write(bytes.subarray(at));
    } catch (error) {
      throw asStorageError(error, this.task);
    }
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }

  /** Synchronises with the disk and closes. */
  async finish(): Promise<FileRecord> {
    try {
      await this.file.sync();
    } catch (error) {
      throw asStorageError(error, this.task);
    }
    this[Symbol.dispose]();
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  [Symbol.dispose](): void {
    if (this.#open) this.file.close();
    this.#open = false;
  }
}
