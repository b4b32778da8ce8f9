import { open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { Split } from "../dataset.ts";
import { SPLITS } from "../dataset.ts";
import { type DatasetError, ImageError } from "../errors.ts";
import { thumbnailOfFile } from "../images/thumbnail.ts";
import type { DatasetFolder } from "./dataset_folder.ts";
import type { StreamedManifest } from "./manifest.ts";
import { type ImageRecord, RecordIndex } from "./record_index.ts";
import { recordFileName } from "./streamed_writer.ts";

type FileHandle = Awaited<ReturnType<typeof open>>;

/** A folder that `writeStreamedDataset` wrote, as found on the disk. */
export class StreamedDataset {
  readonly kind = "streamed";

  private constructor(readonly folder: DatasetFolder, readonly manifest: StreamedManifest) {}

  /**
   * Compares the files' lengths with the manifest; checksums are compared as indices and images are read.
   * @throws {DatasetError} `damaged` or `storage`
   */
  static async open(folder: DatasetFolder, manifest: StreamedManifest): Promise<StreamedDataset> {
    for (const split of SPLITS) {
      for (const part of ["records", "index"] as const) {
        await folder.checkLength(recordFileName(split, part), manifest.files[split][part]);
      }
    }
    return new StreamedDataset(folder, manifest);
  }

  /** Reads a split's index into memory and opens its images. @throws {DatasetError} `damaged` or `storage` */
  async openSplit(split: Split): Promise<StreamedSplit> {
    const { folder, manifest: { files } } = this;
    const index = new RecordIndex(await folder.read(recordFileName(split, "index"), files[split].index));
    const file = recordFileName(split, "records");
    const handle = await folder.withPart(file, (path) => open(path));
    return new StreamedSplit({ folder, file, index, handle });
  }

  /** The class index of each image of a split. @throws {DatasetError} `damaged` or `storage` */
  async labels(split: Split): Promise<Uint32Array> {
    await using images = await this.openSplit(split);
    return Uint32Array.from({ length: images.count }, (_, i) => images.record(i).label);
  }

  /**
   * @param maxSide pixels a side, at most
   * @returns a PNG file each
   * @throws {DatasetError} `damaged` or `storage`
   */
  async thumbnails(split: Split, indices: readonly number[], maxSide: number): Promise<Uint8Array[]> {
    await using images = await this.openSplit(split);
    const made: Uint8Array[] = [];
    for (const index of indices) {
      try {
        made.push(await thumbnailOfFile(await images.read(index), maxSide));
      } catch (error) {
        throw error instanceof ImageError ? await images.damaged(index, error.message) : error;
      }
    }
    return made;
  }
}

interface SplitParts {
  readonly folder: DatasetFolder;
  readonly file: string;
  readonly index: RecordIndex;
  readonly handle: FileHandle;
}

/** The image files of one split, read one by one where they lie; any number of reads may be under way. */
export class StreamedSplit implements AsyncDisposable {
  readonly #parts: SplitParts;

  constructor(parts: SplitParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#parts.index.count;
  }

  /** What the index says of an image. */
  record(index: number): ImageRecord {
    return this.#parts.index.at(index);
  }

  /** An image file. @throws {DatasetError} `damaged` where it is not the one that was written, or `storage` */
  async read(index: number): Promise<Uint8Array> {
    const { offset, nameBytes, imageBytes, checksum } = this.record(index);
    const bytes = await this.#readAt(offset + nameBytes, imageBytes);
    if (crc32(bytes) !== checksum) throw await this.damaged(index, "its checksum is not the one it was written with");
    return bytes;
  }

  /** Says what is wrong with an image, which it names as it was imported. */
  async damaged(index: number, problem: string): Promise<DatasetError> {
    const { offset, nameBytes } = this.record(index);
    const name = new TextDecoder().decode(await this.#readAt(offset, nameBytes));
    const { folder, file } = this.#parts;
    return folder.damaged(`image ${index} of ${file}, imported as ${JSON.stringify(name)}: ${problem}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.handle.close();
  }

  async #readAt(position: number, length: number): Promise<Uint8Array> {
    const { folder, file, handle } = this.#parts;
    const bytes = new Uint8Array(length);
    await folder.withPart(file, async () => {
      for (let filled = 0; filled < length;) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
        if (bytesRead === 0) throw folder.damaged(`${file} ends before its last image`);
        filled += bytesRead;
      }
    });
    return bytes;
  }
}
