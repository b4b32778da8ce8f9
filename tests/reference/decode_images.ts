/**
 * u8 images to normalised ones, augmented, in double precision:
 *
 *   output[n, y, x, c] = (pixel / 255 - mean[c]) / standardDeviation[c]
 *
 * where the pixel is that of the zero-padded image at (y + dy, x' + dx), x' = width - 1 - x if the image is flipped, else
 * x. So the crop comes before the flip, and the padding is black before it is normalised.
 */
import { pcg4d } from "./random.ts";

export interface DecodeOptions {
  readonly height: number;
  readonly width: number;
  /** Per channel, of values scaled to 0..1. */
  readonly mean: ArrayLike<number>;
  readonly standardDeviation: ArrayLike<number>;
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
  /** The key of the draws, with an image's example index: dy, dx and flip are its words x, y and z. */
  readonly seed: number;
  readonly epoch: number;
  readonly purpose: number;
}

/** pixels: images x height x width x channels; examples: each image's index in its data set. */
export function decodeImages(
  pixels: ArrayLike<number>,
  examples: ArrayLike<number>,
  options: DecodeOptions,
): Float64Array {
  const { height, width, mean, standardDeviation, cropPadding, horizontalFlip, seed, epoch, purpose } = options;
  const channels = mean.length;
  const output = new Float64Array(pixels.length);
  let next = 0;
  for (let n = 0; n < examples.length; n++) {
    const draws = pcg4d([seed, epoch, examples[n], purpose]);
    const dy = draws[0] % (2 * cropPadding + 1) - cropPadding;
    const dx = draws[1] % (2 * cropPadding + 1) - cropPadding;
    const flipped = horizontalFlip && (draws[2] & 1) === 1;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const sourceY = y + dy;
        const sourceX = (flipped ? width - 1 - x : x) + dx;
        const inside = sourceY >= 0 && sourceY < height && sourceX >= 0 && sourceX < width;
        for (let c = 0; c < channels; c++) {
          const pixel = inside ? pixels[((n * height + sourceY) * width + sourceX) * channels + c] : 0;
          output[next++] = (pixel / 255 - mean[c]) / standardDeviation[c];
        }
      }
    }
  }
  return output;
}
