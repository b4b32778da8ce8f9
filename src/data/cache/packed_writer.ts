import { join } from "node:path";
import { ChannelStatistics } from "../channel_statistics.ts";
import type { DatasetDescription, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { DataFile } from "./data_file.ts";
import { type PackedFiles, storedBytes } from "./manifest.ts";
import { writeManifest } from "./manifest_file.ts";
import type { WriteOptions, WrittenDataset } from "./written_dataset.ts";

/** `train.pixels`: images one after another, NHWC bytes. `train.labels`: 32-bit class indices, little-endian. */
export function splitFileName(split: Split, part: keyof PackedFiles): string {
  return `${split}.${part}`;
}

/** Labels are copied to and from files as they lie in memory. */
export function assertLittleEndian(): void {
  if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1) {
    throw new DatasetError("storage", "Cannot use packed data sets on a big-endian machine");
  }
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
  options: WriteOptions,
): Promise<WrittenDataset> {
  assertLittleEndian();
  const { size, classNames, cropPadding, horizontalFlip } = source;
  const task = `Cannot write data set "${options.name}"`;
  const total = source.images.train + source.images.test;
  const statistics = new ChannelStatistics(size.channels);
  const images: Record<Split, number> = { train: 0, test: 0 };
  const classCounts = { train: classNames.map(() => 0), test: classNames.map(() => 0) };

  async function packSplit(split: Split): Promise<PackedFiles> {
    using pixels = await DataFile.create(join(folder, splitFileName(split, "pixels")), task);
    using labels = await DataFile.create(join(folder, splitFileName(split, "labels")), task);
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
    kind: "packed",
    description: source.describe(images, "packed"),
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
  await writeManifest(folder, { kind: "packed", origin: options.origin, description, files }, task);
  const skipped = source.skipped ?? { count: 0, files: [] };
  return { description, report: { classCounts, packedBytes: storedBytes({ files }), skipped } };
}
