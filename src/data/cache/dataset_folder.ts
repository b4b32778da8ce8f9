/** The folder of a data set that was written once: what is read of it, with every doubt. */
import { join } from "node:path";
import { asStorageError, DatasetError, isNotFound } from "../errors.ts";
import { type FileRecord, type Manifest, MANIFEST_FILE, parseManifest } from "./manifest.ts";

export class DatasetFolder {
  constructor(readonly name: string, readonly path: string) {}

  /** @throws {DatasetError} `storage` */
  async exists(): Promise<boolean> {
    try {
      await Deno.stat(this.path);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw asStorageError(error, this.#task);
    }
  }

  /** @throws {DatasetError} `damaged` or `storage` */
  async manifest(): Promise<Manifest> {
    const text = await this.withPart(MANIFEST_FILE, (path) => Deno.readTextFile(path));
    let manifest: Manifest;
    try {
      manifest = parseManifest(text);
    } catch (error) {
      throw this.damaged(error instanceof Error ? error.message : String(error));
    }
    if (manifest.description.name !== this.name) {
      throw this.damaged(`${MANIFEST_FILE} is that of data set "${manifest.description.name}"`);
    }
    return manifest;
  }

  /** @throws {DatasetError} `damaged` where a file is missing or of another length, or `storage` */
  async checkLength(file: string, expected: FileRecord): Promise<void> {
    const { size } = await this.withPart(file, (path) => Deno.stat(path));
    this.#checkBytes(file, size, expected);
  }

  /** All of a file. @throws {DatasetError} `damaged` where its length or checksum differs, or `storage` */
  async read(file: string, expected: FileRecord): Promise<Uint8Array> {
    const bytes = await this.withPart(file, (path) => Deno.readFile(path));
    this.#checkBytes(file, bytes.length, expected);
    // Web Crypto hashes on another thread.
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    if (digest.toHex() !== expected.sha256) {
      throw this.damaged(`the checksum of ${file} is not the one it was written with`);
    }
    return bytes;
  }

  damaged(problem: string): DatasetError {
    return new DatasetError(
      "damaged",
      `Data set "${this.name}" is damaged: ${problem}; ` +
        `remove datasets/${this.name} from the data folder and import it again`,
    );
  }

  get #task(): string {
    return `Cannot read data set "${this.name}"`;
  }

  #checkBytes(file: string, bytes: number, expected: FileRecord): void {
    if (bytes !== expected.bytes) throw this.damaged(`${file} has ${bytes} bytes instead of ${expected.bytes}`);
  }

  /** Does something with a file. @throws {DatasetError} `damaged` where it is missing, or `storage` */
  async withPart<T>(file: string, use: (path: string) => Promise<T>): Promise<T> {
    try {
      return await use(join(this.path, file));
    } catch (error) {
      if (isNotFound(error)) throw this.damaged(`${file} is missing`);
      throw asStorageError(error, this.#task);
    }
  }
}
