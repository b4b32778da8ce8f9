import { join } from "node:path";
import type { LabelledImages, Split } from "../dataset.ts";
import { SPLITS } from "../dataset.ts";
import { asStorageError, DatasetError, isNotFound } from "../errors.ts";
import type { FileRecord, Manifest } from "./manifest.ts";
import { MANIFEST_FILE, parseManifest } from "./manifest.ts";
import { assertLittleEndian, splitFileName } from "./packed_writer.ts";

/** A folder that `packDataset` wrote, as found on the disk. */
export class PackedDataset {
  private constructor(readonly name: string, readonly folder: string, readonly manifest: Manifest) {}

  /**
   * Reads the manifest and compares the files' lengths with it (checksums are compared when a split is loaded).
   *
   * @returns undefined where there is no such folder
   * @throws {DatasetError} `damaged` or `storage`
   */
  static async open(name: string, folder: string): Promise<PackedDataset | undefined> {
    if (!(await exists(folder, name))) return undefined;
    const text = await readPart({ name, folder }, MANIFEST_FILE, (path) => Deno.readTextFile(path));
    let manifest: Manifest;
    try {
      manifest = parseManifest(text);
    } catch (error) {
      throw damaged(name, error instanceof Error ? error.message : String(error));
    }
    if (manifest.description.name !== name) {
      throw damaged(name, `${MANIFEST_FILE} is that of data set "${manifest.description.name}"`);
    }
    const packed = new PackedDataset(name, folder, manifest);
    for (const split of SPLITS) {
      for (const part of ["pixels", "labels"] as const) {
        const file = splitFileName(split, part);
        const { size } = await readPart({ name, folder }, file, (path) => Deno.stat(path));
        checkLength(name, file, { bytes: size, expected: manifest.files[split][part] });
      }
    }
    return packed;
  }

  /** Reads a split into memory. @throws {DatasetError} `damaged` where a length or checksum differs, or `storage` */
  async load(split: Split): Promise<LabelledImages> {
    assertLittleEndian();
    const count = this.manifest.description.images[split];
    const pixels = await this.#read(splitFileName(split, "pixels"), this.manifest.files[split].pixels);
    const labels = await this.#read(splitFileName(split, "labels"), this.manifest.files[split].labels);
    // Copied, for a view of 32-bit numbers has to be aligned.
    return { count, pixels, labels: new Uint32Array(labels.slice().buffer) };
  }

  async #read(file: string, expected: FileRecord): Promise<Uint8Array> {
    const bytes = await readPart(this, file, (path) => Deno.readFile(path));
    checkLength(this.name, file, { bytes: bytes.length, expected });
    // Web Crypto hashes on another thread.
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    if (digest.toHex() !== expected.sha256) {
      throw damaged(this.name, `the checksum of ${file} is not the one it was written with`);
    }
    return bytes;
  }
}

function damaged(name: string, problem: string): DatasetError {
  return new DatasetError(
    "damaged",
    `Data set "${name}" is damaged: ${problem}; remove datasets/${name} from the data folder and import it again`,
  );
}

function checkLength(
  name: string,
  file: string,
  { bytes, expected }: { readonly bytes: number; readonly expected: FileRecord },
): void {
  if (bytes !== expected.bytes) throw damaged(name, `${file} has ${bytes} bytes instead of ${expected.bytes}`);
}

async function readPart<T>(
  { name, folder }: { readonly name: string; readonly folder: string },
  file: string,
  read: (path: string) => Promise<T>,
): Promise<T> {
  try {
    return await read(join(folder, file));
  } catch (error) {
    if (isNotFound(error)) throw damaged(name, `${file} is missing`);
    throw asStorageError(error, `Cannot read data set "${name}"`);
  }
}

async function exists(folder: string, name: string): Promise<boolean> {
  try {
    await Deno.stat(folder);
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw asStorageError(error, `Cannot read data set "${name}"`);
  }
}
