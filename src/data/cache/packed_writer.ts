import { createHash } from "node:crypto";
import { join } from "node:path";
import { ChannelStatistics } from "../channel_statistics.ts";
import type { DatasetDescription, ImageSource, ImportReport, Split } from "../dataset.ts";
import { SPLITS } from "../dataset.ts";
import { asStorageError, DatasetError } from "../errors.ts";
import type { FileRecord, SplitFiles } from "./manifest.ts";
import { formatManifest, MANIFEST_FILE } from "./manifest.ts";

/** `train.pixels`: images one after another, NHWC bytes. `train.labels`: 32-bit class indices, little-endian. */
export function splitFileName(split: Split, part: keyof SplitFiles): string {
  return `${split}.${part}`;
}

/** Labels are copied to and from files as they lie in memory. */
export function assertLittleEndian(): void {
  if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1) {
    throw new DatasetError("storage", "Cannot use packed data sets on a big-endian machine");
  }
}

export interface PackOptions {
  readonly name: string;
  readonly origin: string;
  readonly signal: AbortSignal;
  /** Images done and in all, over both splits. */
  onProgress?(done: number, total: number): void;
}

/**
 * Packs all of a source into an existing empty folder: raw pixels, labels and, last, the manifest; every file is
 * synchronised with the disk.
 *
 * @throws {DatasetError} of the source, or `storage`; the signal's reason where it was aborted
 */
export async function packDataset(
  source: ImageSource,
  folder: string,
  options: PackOptions,
): Promise<{ readonly description: DatasetDescription; readonly report: ImportReport }> {
  assertLittleEndian();
  const { size, classNames, cropPadding, horizontalFlip } = source;
  const task = `Cannot write data set "${options.name}"`;
  const total = source.images.train + source.images.test;
  const statistics = new ChannelStatistics(size.channels);
  const images: Record<Split, number> = { train: 0, test: 0 };
  const classCounts = { train: classNames.map(() => 0), test: classNames.map(() => 0) };

  async function packSplit(split: Split): Promise<SplitFiles> {
    using pixels = await PackedFile.create(join(folder, splitFileName(split, "pixels")), task);
    using labels = await PackedFile.create(join(folder, splitFileName(split, "labels")), task);
    for await (const chunk of source.read(split, options.signal)) {
      options.signal.throwIfAborted();
      if (!source.normalisation && split === "train") statistics.add(chunk.pixels);
      await pixels.write(chunk.pixels);
      await labels.write(new Uint8Array(chunk.labels.buffer, chunk.labels.byteOffset, chunk.labels.byteLength));
      images[split] += chunk.count;
      for (const label of chunk.labels) classCounts[split][label]++;
      options.onProgress?.(images.train + images.test, total);
    }
    return { pixels: await pixels.finish(), labels: await labels.finish() };
  }
  const files = { train: await packSplit("train"), test: await packSplit("test") };

  const { mean, standardDeviation } = source.normalisation ?? statistics.result();
  const description: DatasetDescription = {
    name: options.name,
    description: source.describe(images),
    height: size.height,
    width: size.width,
    channels: size.channels,
    classNames,
    images,
    mean,
    standardDeviation,
    cropPadding,
    horizontalFlip,
  };
  using manifest = await PackedFile.create(join(folder, MANIFEST_FILE), task);
  await manifest.write(new TextEncoder().encode(formatManifest({ origin: options.origin, description, files })));
  await manifest.finish();
  const packedBytes = SPLITS.reduce((sum, split) => sum + files[split].pixels.bytes + files[split].labels.bytes, 0);
  const skipped = source.skipped ?? { count: 0, files: [] };
  return { description, report: { classCounts, packedBytes, skipped } };
}

/** A file being written, with its length and checksum so far. */
class PackedFile implements Disposable {
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #open = true;

  private constructor(readonly file: Deno.FsFile, readonly task: string) {}

  static async create(path: string, task: string): Promise<PackedFile> {
    try {
      return new PackedFile(await Deno.open(path, { write: true, createNew: true }), task);
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
