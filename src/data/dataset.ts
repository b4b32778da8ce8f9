/** What a data set is, to those who use one and to the readers that make one. */

/** Of one image; values are bytes, row by row, channels last. */
export interface ImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3;
}

export type Split = "train" | "test";
export const SPLITS: readonly Split[] = ["train", "test"];

/** `packed`: pixels of one size. `streamed`: image files as they came, decoded and cropped as they are used. */
export type DatasetKind = "packed" | "streamed";

/** The size is that of the pixels; of a streamed data set, what is cut out of images unless training is told otherwise. */
export interface DatasetDescription extends ImageSize {
  readonly name: string;
  readonly kind: DatasetKind;
  /** For people: what it is, how it was split, what was left out. */
  readonly description: string;
  readonly classNames: readonly string[];
  readonly images: Readonly<Record<Split, number>>;
  /** A channel's, of values scaled to 0..1, over the training images. */
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
  /** Pixels of zero padding before the random crop, unless training is told otherwise. */
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
}

/** `pixels`: count x height x width x channels bytes (NHWC); `labels`: count class indices. */
export interface LabelledImages {
  readonly count: number;
  readonly pixels: Uint8Array;
  readonly labels: Uint32Array;
}

/** The mean and the standard deviation of each channel, of values scaled to 0..1. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
}

/** A file of a source that does not become an image. */
export interface SkippedFile {
  /** As the user would name it: relative to what is imported. */
  readonly path: string;
  readonly reason: string;
}

/** Files left out in all, and the first of them. */
export interface SkippedSummary {
  readonly count: number;
  readonly files: readonly SkippedFile[];
}

/** What an import took and what it left out. */
export interface ImportReport {
  /** Images a class, in the order of the class names. */
  readonly classCounts: Readonly<Record<Split, readonly number[]>>;
  /** Of what is kept: packed pixels and labels, or image files and their index. */
  readonly packedBytes: number;
  readonly skipped: SkippedSummary;
}

/** How far a reader is in a split: what another one needs to go on there. */
export interface ReadPosition {
  /** Files of the split done with, taken or left out. */
  readonly files: number;
  /** Left out so far, of the whole source. */
  readonly skipped: SkippedSummary;
}

/** Where a reader goes on. */
export interface ReadStart extends ReadPosition {
  /** Images of the split that were taken before, a class. */
  readonly taken: readonly number[];
}

/** An image file that was decoded once, so that it is known to be whole. */
export interface EncodedImage {
  /** As the user would name it. */
  readonly path: string;
  readonly label: number;
  readonly bytes: Uint8Array;
  /** As the image is seen, its orientation applied. */
  readonly height: number;
  readonly width: number;
  /** As evaluation sees it: of the source's size. */
  readonly pixels: Uint8Array;
  /** After this image. */
  readonly position: ReadPosition;
}

/** Images of a source that were read at one go. */
export interface SourceChunk extends LabelledImages {
  /** After the chunk; absent where a source is read anew in seconds, and cannot go on. */
  readonly position?: ReadPosition;
}

/** What a reader has found: the facts known beforehand, and the images one chunk after another. */
export interface ImageSource {
  readonly size: ImageSize;
  readonly classNames: readonly string[];
  /** At most so many; fewer where `read` leaves some out. */
  readonly images: Readonly<Record<Split, number>>;
  /** Undefined: computed from the training images. */
  readonly normalisation?: Normalisation;
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
  /** Files left out so far; absent where a source takes all or nothing. */
  readonly skipped?: SkippedSummary;
  /**
   * Chunks of about a mebibyte; the order is part of the data set.
   * @param start a position that this source told before
   * @throws {DatasetError}
   */
  read(split: Split, signal: AbortSignal, start?: ReadStart): AsyncIterable<SourceChunk>;
  /** The images as the files they are, in the same order; absent where the source has only pixels. @throws {DatasetError} */
  readEncoded?(split: Split, signal: AbortSignal, start?: ReadStart): AsyncIterable<EncodedImage>;
  /** The description's text, asked for when both splits have been read. */
  describe(images: Readonly<Record<Split, number>>, kind: DatasetKind): string;
}

/** How far a reader gathers images before it hands them on. */
export const CHUNK_BYTES = 1 << 20;

export function imageBytes(size: ImageSize): number {
  return size.height * size.width * size.channels;
}

/** "32x32x3": height, width, channels. */
export function formatSize(size: ImageSize): string {
  return `${size.height}x${size.width}x${size.channels}`;
}

/** "8,000" */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}
