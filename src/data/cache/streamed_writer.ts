import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ChannelStatistics } from "../channel_statistics.ts";
import type { DatasetDescription, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { DataFile } from "./data_file.ts";
import { storedBytes, type StreamedFiles } from "./manifest.ts";
import { writeManifest } from "./manifest_file.ts";
import { encodeRecord } from "./record_index.ts";
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
  const read = encodedReader(source, options.name);
  const task = `Cannot write data set "${options.name}"`;
  const total = source.images.train + source.images.test;
  const statistics = new ChannelStatistics(size.channels);
  const images: Record<Split, number> = { train: 0, test: 0 };
  const classCounts = { train: classNames.map(() => 0), test: classNames.map(() => 0) };

  async function writeSplit(split: Split): Promise<StreamedFiles> {
    using records = await DataFile.create(join(folder, recordFileName(split, "records")), task);
    using index = await DataFile.create(join(folder, recordFileName(split, "index")), task);
    let offset = 0;
    for await (const image of read(split, options.signal)) {
      const { path, label, bytes, height, width, pixels } = image;
      options.signal.throwIfAborted();
      if (split === "train") statistics.add(pixels);
      const name = new TextEncoder().encode(path);
      await records.write(name);
      await records.write(bytes);
      const [nameBytes, imageBytes] = [name.length, bytes.length];
      await index.write(encodeRecord({ offset, nameBytes, imageBytes, checksum: crc32(bytes), label, height, width }));
      offset += nameBytes + imageBytes;
      images[split]++;
      classCounts[split][label]++;
      options.onProgress?.(images.train + images.test, total);
    }
    return { records: await records.finish(), index: await index.finish() };
  }
  const files = { train: await writeSplit("train"), test: await writeSplit("test") };

  const description: DatasetDescription = {
    name: options.name,
    kind: "streamed",
    description: source.describe(images, "streamed"),
    height: size.height,
    width: size.width,
    channels: size.channels,
    classNames,
    images,
    ...statistics.result(),
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
