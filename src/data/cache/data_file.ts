import { createHash } from "node:crypto";
import { asStorageError, DatasetError } from "../errors.ts";
import type { FileRecord } from "./manifest.ts";

/** A file of a data set that is being written, with its length and checksum so far. */
export class DataFile implements Disposable {
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #open = true;

  private constructor(readonly file: Deno.FsFile, readonly task: string) {}

  /**
   * @param kept bytes of an earlier file that are gone on from; what comes after them is cut off
   * @throws {DatasetError} `storage`
   */
  static async open(path: string, { task, kept = 0 }: { task: string; kept?: number }): Promise<DataFile> {
    try {
      const file = new DataFile(await Deno.open(path, { read: true, write: true, create: true }), task);
      try {
        await file.#goOnFrom(kept);
        return file;
      } catch (error) {
        file[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      throw asStorageError(error, task);
    }
  }

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes;
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

  /** @throws {DatasetError} `storage` */
  async synchronise(): Promise<void> {
    try {
      await this.file.sync();
    } catch (error) {
      throw asStorageError(error, this.task);
    }
  }

  /** Synchronises with the disk and closes. */
  async finish(): Promise<FileRecord> {
    await this.synchronise();
    this[Symbol.dispose]();
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** Reads what is kept, for the checksum is of all. */
  async #goOnFrom(kept: number): Promise<void> {
    await this.file.truncate(kept);
    const buffer = new Uint8Array(1 << 20);
    while (this.#bytes < kept) {
      const read = await this.file.read(buffer);
      if (read === null) throw new DatasetError("storage", `${this.task}: what was written of it before is gone`);
      this.#hash.update(buffer.subarray(0, read));
      this.#bytes += read;
    }
  }

  [Symbol.dispose](): void {
    if (this.#open) this.file.close();
    this.#open = false;
  }
}
