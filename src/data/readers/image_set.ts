/** Image files sorted into classes, wherever they come from, as a source: decoded, scaled, spread evenly. */
import { balancedOrder } from "../class_order.ts";
import type { EncodedImage, ImageSize, ImageSource, ReadPosition, ReadStart, SourceChunk, Split } from "../dataset.ts";
import { CHUNK_BYTES, formatCount, formatSize, imageBytes, SPLITS } from "../dataset.ts";
import { DatasetError, ImageError } from "../errors.ts";
import { decodeImage, inspectImage } from "../images/decode.ts";
import { CENTER_CROP } from "../images/preprocessing.ts";
import { ImageChunk } from "./image_chunk.ts";
import { mapInOrder } from "./ordered_pool.ts";
import type { SkippedFiles } from "./skipped_files.ts";

/** Files read ahead, while the image library works on as many as there are processors. */
const READ_AHEAD = 2 * navigator.hardwareConcurrency;

export interface ImageFile {
  /** As the user would name it. */
  readonly path: string;
  /** The file's bytes, or why there are none. @throws {DatasetError} where the whole source cannot be taken */
  read(): Promise<Uint8Array | string>;
}

export interface ImageClass {
  readonly name: string;
  readonly files: readonly ImageFile[];
}

interface LabelledFile {
  readonly label: number;
  readonly file: ImageFile;
}

export interface ImageSet {
  /** "Image folder": begins messages and the description. */
  readonly title: string;
  readonly size: ImageSize;
  readonly classNames: readonly string[];
  /** Files a class. */
  readonly counts: Readonly<Record<Split, readonly number[]>>;
  /** What was left out before; what cannot be decoded comes on top. */
  readonly skipped: SkippedFiles;
  /** In the packed order. */
  batches(split: Split): AsyncIterable<Iterable<LabelledFile>>;
}

/**
 * Files that cannot be decoded are left out and named in the description; a class must keep at least one image in
 * either split.
 *
 * @throws {DatasetError} where there are fewer than two classes, or one has no file
 */
export function imageSetSource(set: ImageSet): ImageSource {
  const { title, size, classNames, counts, skipped } = set;
  if (classNames.length < 2) throw new DatasetError("invalid", `${title} has one class: at least 2 are needed`);
  const total = (split: Split) => counts[split].reduce((sum, count) => sum + count, 0);
  // Before hours of decoding; and again afterwards, for what could not be decoded.
  for (const split of SPLITS) checkNoClassEmpty(counts[split], set, split);

  return {
    size,
    classNames,
    images: { train: total("train"), test: total("test") },
    // An eighth of the side, as 4 of CIFAR's 32.
    cropPadding: Math.round(Math.min(size.height, size.width) / 8),
    // Photographs may be mirrored; grey images are more often digits, letters or scans.
    horizontalFlip: size.channels === 3,
    skipped,
    read: (split, signal, start) => readImages(set, { split, signal, start }),
    readEncoded: (split, signal, start) => readEncodedImages(set, { split, signal, start }),
    describe: (images, kind) =>
      `${title} of ${formatCount(classNames.length)} classes, ` +
      `${kind === "packed" ? "scaled" : "kept as files and cropped"} to ${formatSize(size)}: ` +
      `${formatCount(images.train)} to train, ${formatCount(images.test)} to test${skipped.sentence("; ")}`,
  };
}

export interface ImageClasses {
  readonly title: string;
  readonly size: ImageSize;
  /** The same names in the same order in both splits. */
  readonly classes: Readonly<Record<Split, readonly ImageClass[]>>;
  readonly skipped: SkippedFiles;
}

/**
 * Of files that are listed beforehand. The packed order spreads the classes evenly, so that the first N images hold
 * all of them.
 *
 * @throws {DatasetError} also where the splits' classes differ
 */
export function imageClassSource({ title, size, classes, skipped }: ImageClasses): ImageSource {
  checkSameClasses(classes, title);
  const counts = (split: Split) => classes[split].map(({ files }) => files.length);
  return imageSetSource({
    title,
    size,
    classNames: classes.train.map(({ name }) => name),
    counts: { train: counts("train"), test: counts("test") },
    skipped,
    async *batches(split) {
      yield inOrder(classes[split]);
    },
  });
}

function checkSameClasses(classes: ImageClasses["classes"], title: string): void {
  for (const [split, other] of [["train", "test"], ["test", "train"]] as const) {
    const others = new Set(classes[other].map(({ name }) => name));
    const extra = classes[split].find(({ name }) => !others.has(name));
    if (extra) {
      throw new DatasetError("invalid", `${title} has the class ${JSON.stringify(extra.name)} in ${split} only`);
    }
  }
}

function checkNoClassEmpty(counts: readonly number[], { classNames, skipped }: ImageSet, split: Split): void {
  const empty = counts.indexOf(0);
  if (empty < 0) return;
  throw new DatasetError(
    "invalid",
    `Class ${JSON.stringify(classNames[empty])} has no image to ${split}${skipped.sentence(": ")}`,
  );
}

interface Reading {
  readonly split: Split;
  readonly signal: AbortSignal;
  readonly start?: ReadStart;
}

async function* readImages(set: ImageSet, reading: Reading): AsyncGenerator<SourceChunk> {
  const bytes = imageBytes(set.size);
  const chunk = new ImageChunk(Math.max(1, Math.floor(CHUNK_BYTES / bytes)), bytes);
  const decode = (file: Uint8Array) => decodeImage(file, set.size);
  let last: ReadPosition | undefined;
  for await (const { label, result, position } of readFiles(set, decode, reading)) {
    chunk.add(result, label);
    last = position;
    if (chunk.isFull) yield { ...chunk.take(), position };
  }
  if (!chunk.isEmpty) yield { ...chunk.take(), position: last };
}

async function* readEncodedImages(set: ImageSet, reading: Reading): AsyncGenerator<EncodedImage> {
  const inspect = async (bytes: Uint8Array) => ({ bytes, ...await inspectImage(bytes, set.size, CENTER_CROP) });
  for await (const { label, file, result, position } of readFiles(set, inspect, reading)) {
    yield { path: file.path, label, position, ...result };
  }
}

/** What becomes of each file, in the packed order; those of which nothing does are left out and counted. */
async function* readFiles<T extends object>(
  set: ImageSet,
  decode: (bytes: Uint8Array) => Promise<T>,
  { split, signal, start }: Reading,
): AsyncGenerator<LabelledFile & { readonly result: T; readonly position: ReadPosition }> {
  const kept = start ? [...start.taken] : set.classNames.map(() => 0);
  let files = 0;
  for await (const batch of filesFrom(set, split, start)) {
    for await (const { label, file, result } of mapInOrder(batch, prepare, { concurrency: READ_AHEAD })) {
      signal.throwIfAborted();
      files++;
      if (typeof result === "string") {
        set.skipped.add(file.path, result);
        continue;
      }
      kept[label]++;
      const position = { files: (start?.files ?? 0) + files, skipped: set.skipped.summary };
      yield { label, file, result, position };
    }
  }
  checkNoClassEmpty(kept, set, split);

  async function prepare({ label, file }: LabelledFile) {
    signal.throwIfAborted();
    return { label, file, result: await decodeFile(file, decode) };
  }
}

/** The files of a split that come after `start`; what was left out before it is what `start` says. */
async function* filesFrom(
  set: ImageSet,
  split: Split,
  start: ReadStart | undefined,
): AsyncGenerator<Iterable<LabelledFile>> {
  let toPass = start?.files ?? 0;
  let isRestored = start === undefined;
  for await (const batch of set.batches(split)) {
    const files = batch[Symbol.iterator]();
    while (toPass > 0 && !files.next().done) toPass--;
    if (toPass > 0) continue;
    if (start && !isRestored) set.skipped.restore(start.skipped);
    isRestored = true;
    yield { [Symbol.iterator]: () => files };
  }
}

function* inOrder(classes: readonly ImageClass[]): Generator<LabelledFile> {
  const order = balancedOrder(classes.map(({ files }) => files.length));
  for (let i = 0; i < order.classes.length; i++) {
    const label = order.classes[i];
    yield { label, file: classes[label].files[order.indices[i]] };
  }
}

/** @returns what the file decodes to, or why it does not */
async function decodeFile<T extends object>(
  file: ImageFile,
  decode: (bytes: Uint8Array) => Promise<T>,
): Promise<T | string> {
  const bytes = await file.read();
  if (typeof bytes === "string") return bytes;
  try {
    return await decode(bytes);
  } catch (error) {
    if (error instanceof ImageError) return error.message.replace(/^Image /, "");
    throw error;
  }
}
