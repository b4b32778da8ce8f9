import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { DatasetDescription, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { DataFile } from "./data_file.ts";
import { storedBytes, type StreamedFiles } from "./manifest.ts";
import { writeManifest } from "./manifest_file.ts";
import { encodeRecord } from "./record_index.ts";
import { WriteProgress } from "./write_progress.ts";
import type { WriteOptions, WrittenDataset } from "./written_dataset.ts";

/** See record_index.ts. */
export function recordFileName(split: Split, part: keyof StreamedFiles): string {
  return `${split}.${part}`;
}

/**
 * Writes the image files of a source, as they are, into an existing empty folder: records, their index and, last, the
 * manifest. Every image has been decoded once, so the data set's mean and deviation are those of what evaluation sees.
 *
 * @throws {DatasetError} `invalid` for a source that has no image files, `storage`, or of the source; the signal's
 * reason where it was aborted
 */
export async function writeStreamedDataset(
  source: ImageSource,
  folder: string,
  options: WriteOptions,
): Promise<WrittenDataset> {
  const { size, classNames, horizontalFlip } = source;
  const readEncoded = encodedReader(source, options.name);
  const task = `Cannot write data set "${options.name}"`;
  const total = source.images.train + source.images.test;
  const { signal, journal } = options;
  const progress = new WriteProgress(source, journal?.state);

  async function writeSplit(split: Split): Promise<StreamedFiles> {
    const [recordFile, indexFile] = [recordFileName(split, "records"), recordFileName(split, "index")];
    const open = (name: string) => DataFile.open(join(folder, name), { task, kept: progress.lengthOf(name) });
    using records = await open(recordFile);
    using index = await open(indexFile);
    try {
      const read = progress.isWhole(split) ? [] : readEncoded(split, signal, progress.startOf(split));
      for await (const { path, label, bytes, height, width, pixels, position } of read) {
        signal.throwIfAborted();
        const name = new TextEncoder().encode(path);
        const [nameBytes, imageBytes, offset] = [name.length, bytes.length, records.bytes];
        await records.write(name);
        await records.write(bytes);
        await index.write(
          encodeRecord({ offset, nameBytes, imageBytes, checksum: crc32(bytes), label, height, width }),
        );
        progress.add(split, {
          labels: [label],
          pixels: split === "train" ? pixels : undefined,
          position,
          lengths: { [recordFile]: records.bytes, [indexFile]: index.bytes },
        });
        options.onProgress?.(progress.images.train + progress.images.test, total);
        await journal?.note(progress, [records, index]);
      }
    } catch (error) {
      if (signal.aborted) await journal?.keep(progress, [records, index]);
      throw error;
    }
    return { records: await records.finish(), index: await index.finish() };
  }
  const files = { train: await writeSplit("train"), test: await writeSplit("test") };

  const { images, classCounts } = progress;
  const description: DatasetDescription = {
    name: options.name,
    kind: "streamed",
    description: source.describe(images, "streamed"),
    height: size.height,
    width: size.width,
    channels: size.channels,
    classNames,
    images,
    ...progress.statistics.result(),
    // Crops of random size and place come instead.
    cropPadding: 0,
    horizontalFlip,
  };
  await writeManifest(folder, { kind: "streamed", origin: options.origin, description, files }, task);
  return {
    description,
    report: { classCounts, packedBytes: storedBytes({ files }), skipped: source.skipped ?? { count: 0, files: [] } },
  };
}

/** @throws {DatasetError} where the source has none */
function encodedReader(source: ImageSource, name: string): NonNullable<ImageSource["readEncoded"]> {
  if (source.readEncoded) return source.readEncoded;
  throw new DatasetError(
    "invalid",
    `Cannot import as "${name}": the source has pixels and no image files, which streaming needs; import it packed`,
  );
}
