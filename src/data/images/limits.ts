import type { ImageSize } from "../dataset.ts";
import { formatSize } from "../dataset.ts";
import { ImageError } from "../errors.ts";

/** Pixels a side of an image that is decoded or scaled. */
export const MAX_IMAGE_SIDE = 16_384;
/** Pixels of such an image in all: 192 MiB when decoded to three bytes each. */
export const MAX_IMAGE_PIXELS = 64 * 1024 * 1024;
/** Bytes of an image file. */
export const MAX_IMAGE_FILE_BYTES = 64 * 1024 * 1024;
/** Pixels a side of what a data set's images are scaled to. */
export const MAX_TARGET_SIDE = 2048;

/** @throws {ImageError} where the image is larger than can be taken */
export function checkImageSize({ height, width }: { readonly height: number; readonly width: number }): void {
  if (width <= MAX_IMAGE_SIDE && height <= MAX_IMAGE_SIDE && width * height <= MAX_IMAGE_PIXELS) return;
  throw new ImageError(
    `Image is ${width} pixels wide and ${height} high: at most ${MAX_IMAGE_SIDE} a side and ${MAX_IMAGE_PIXELS} ` +
      `in all are accepted`,
  );
}

/** What is wrong with a size to scale to, or undefined. */
export function targetSizeProblem(size: { height: number; width: number; channels: number }): string | undefined {
  for (const side of ["height", "width"] as const) {
    if (!Number.isInteger(size[side]) || size[side] < 1 || size[side] > MAX_TARGET_SIDE) {
      return `${side} is ${size[side]}: must be a whole number from 1 to ${MAX_TARGET_SIDE}`;
    }
  }
  if (size.channels !== 1 && size.channels !== 3) return `channels is ${size.channels}: must be 1 or 3`;
  return undefined;
}

/** @throws {ImageError} */
export function checkTargetSize(size: ImageSize): void {
  const problem = targetSizeProblem(size);
  if (problem) throw new ImageError(`Cannot scale an image to ${formatSize(size)}: ${problem}`);
}
