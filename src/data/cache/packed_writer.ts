import { join } from "node:path";
import type { DatasetDescription, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { DataFile } from "./data_file.ts";
import { type PackedFiles, storedBytes } from "./manifest.ts";
import { writeManifest } from "./manifest_file.ts";
import { WriteProgress } from "./write_progress.ts";
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
  const { signal, journal } = options;
  const progress = new WriteProgress(source, journal?.state);

  async function packSplit(split: Split): Promise<PackedFiles> {
    const [pixelFile, labelFile] = [splitFileName(split, "pixels"), splitFileName(split, "labels")];
    const open = (name: string) => DataFile.open(join(folder, name), { task, kept: progress.lengthOf(name) });
    using pixels = await open(pixelFile);
    using labels = await open(labelFile);
    const needsStatistics = !source.normalisation && split === "train";
    try {
      const chunks = progress.isWhole(split) ? [] : source.read(split, signal, progress.startOf(split));
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        await pixels.write(chunk.pixels);
        await labels.write(new Uint8Array(chunk.labels.buffer, chunk.labels.byteOffset, chunk.labels.byteLength));
        progress.add(split, {
          labels: chunk.labels,
          pixels: needsStatistics ? chunk.pixels : undefined,
          position: chunk.position,
          lengths: { [pixelFile]: pixels.bytes, [labelFile]: labels.bytes },
        });
        options.onProgress?.(progress.images.train + progress.images.test, total);
        await journal?.note(progress, [pixels, labels]);
      }
    } catch (error) {
      if (signal.aborted) await journal?.keep(progress, [pixels, labels]);
      throw error;
    }
    return { pixels: await pixels.finish(), labels: await labels.finish() };
  }
  const files = { train: await packSplit("train"), test: await packSplit("test") };

  const { images, classCounts } = progress;
  const { mean, standardDeviation } = source.normalisation ?? progress.statistics.result();
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
