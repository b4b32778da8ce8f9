/** Images and labels that lie whole in memory, as a source. */
import type { ImageSize, ImageSource, LabelledImages, Split } from "../dataset.ts";
import { CHUNK_BYTES, formatCount, formatSize, imageBytes, SPLITS } from "../dataset.ts";
import { DatasetError } from "../errors.ts";

/** Bytes of one array, decompressed: it is held in memory. */
export const MAX_ARRAY_BYTES = 2 ** 31 - 1;

export interface LabelledArrays {
  /** How messages name the files they came from: "x_train and y_train". */
  readonly title: string;
  readonly size: ImageSize;
  /** NHWC bytes. */
  readonly pixels: Uint8Array;
  readonly labels: Uint32Array;
}

export interface ArrayOptions {
  /** "MNIST's layout (idx)": begins the description. */
  readonly title: string;
  /** Undefined: the numbers of the labels. */
  readonly classNames?: readonly string[];
}

/**
 * Checks that pixels, labels and splits fit each other. The order is that of the arrays.
 *
 * @throws {DatasetError} where counts or sizes differ, a class has no image, or a label no name
 */
export function arraySource(
  splits: Readonly<Record<Split, LabelledArrays>>,
  { title, classNames }: ArrayOptions,
): ImageSource {
  const { size } = splits.train;
  for (const split of SPLITS) checkCounts(splits[split]);
  if (formatSize(splits.test.size) !== formatSize(size)) {
    throw new DatasetError(
      "invalid",
      `Images to train are ${formatSize(size)}, to test ${formatSize(splits.test.size)}: must be of one size`,
    );
  }
  const highest = SPLITS.reduce((top, split) => splits[split].labels.reduce((a, b) => Math.max(a, b), top), 0);
  const names = classNames ?? Array.from({ length: highest + 1 }, (_, label) => String(label));
  for (const split of SPLITS) checkLabels(splits[split], { names, split });
  return {
    size,
    classNames: names,
    images: { train: splits.train.labels.length, test: splits.test.labels.length },
    cropPadding: Math.round(Math.min(size.height, size.width) / 8),
    horizontalFlip: size.channels === 3,
    read: (split, signal) => chunksOf(splits[split], signal),
    describe: (images) =>
      `${title} of ${formatCount(names.length)} classes, ${formatSize(size)}: ${formatCount(images.train)} to train, ` +
      `${formatCount(images.test)} to test`,
  };
}

function checkCounts({ title, size, pixels, labels }: LabelledArrays): void {
  const images = pixels.length / imageBytes(size);
  if (images === labels.length && images > 0) return;
  throw new DatasetError("invalid", `Cannot use ${title}: ${images} images and ${labels.length} labels`);
}

function checkLabels(
  { title, labels }: LabelledArrays,
  { names, split }: { readonly names: readonly string[]; readonly split: Split },
): void {
  const counts = new Uint32Array(names.length);
  labels.forEach((label, i) => {
    if (label >= names.length) {
      throw new DatasetError(
        "invalid",
        `Cannot use ${title}: image ${i} has label ${label}, must be below ${names.length}`,
      );
    }
    counts[label]++;
  });
  const empty = counts.indexOf(0);
  if (empty >= 0) {
    throw new DatasetError("invalid", `Class ${JSON.stringify(names[empty])} has no image to ${split}`);
  }
}

async function* chunksOf(
  { size, pixels, labels }: LabelledArrays,
  signal: AbortSignal,
): AsyncGenerator<LabelledImages> {
  const bytes = imageBytes(size);
  const step = Math.max(1, Math.floor(CHUNK_BYTES / bytes));
  for (let start = 0; start < labels.length; start += step) {
    signal.throwIfAborted();
    const count = Math.min(step, labels.length - start);
    yield {
      count,
      pixels: pixels.slice(start * bytes, (start + count) * bytes),
      labels: labels.slice(start, start + count),
    };
  }
}
