/**
 * Augmented images, one example at a time: cropped, mirrored, erased, cut out and normalised; every float operation is
 * rounded to 32 bits in the kernel's order, so that results can be compared to the bit.
 */
import { pcg4d } from "./random.ts";

export interface AugmentOptions {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
  readonly cutoutSize: number;
  readonly erasing: { readonly probability: number; readonly fill: "zero" | "noise" };
  readonly seed: number;
  readonly epoch: number;
  readonly purposes: Readonly<Record<"augmentation" | "cutout" | "erasing" | "erasingNoise", number>>;
}

export interface Rectangle {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

const { fround } = Math;

/** What one example becomes: height x width x channels bytes, or -1 where it is filled with zero after normalisation. */
export function augmentedBytes(pixels: ArrayLike<number>, example: number, options: AugmentOptions): Int16Array {
  const { height, width, channels, cropPadding, horizontalFlip, seed, epoch, purposes, erasing } = options;
  const [dy, dx, mirror] = pcg4d([seed, epoch, example, purposes.augmentation]);
  const range = 2 * cropPadding + 1;
  const hole = erasedRectangle(example, options);
  const square = cutoutSquare(example, options);
  const noise = pcg4d([seed, epoch, example, purposes.erasingNoise]);
  const bytes = new Int16Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sourceY = y + dy % range - cropPadding;
      const sourceX = (horizontalFlip && mirror % 2 === 1 ? width - 1 - x : x) + dx % range - cropPadding;
      const inside = sourceY >= 0 && sourceY < height && sourceX >= 0 && sourceX < width;
      const random = pcg4d([noise[0], noise[1], noise[2], y * width + x]);
      for (let c = 0; c < channels; c++) {
        let byte = inside ? pixels[(sourceY * width + sourceX) * channels + c] : 0;
        if (hole && holds(hole, y, x)) byte = erasing.fill === "zero" ? -1 : random[c] >>> 24;
        if (square && holds(square, y, x)) byte = -1;
        bytes[(y * width + x) * channels + c] = byte;
      }
    }
  }
  return bytes;
}

/** (byte / 255 - mean) / deviation. */
export function normalised(bytes: Int16Array, { mean, standardDeviation, channels }: AugmentOptions): Float32Array {
  return Float32Array.from(bytes, (byte, i) => {
    const [m, d] = [fround(mean[i % channels]), fround(standardDeviation[i % channels])];
    return byte < 0 ? 0 : fround(fround(fround(byte / 255) - m) / d);
  });
}

/** (1 - share) of an image and a share of its partner. */
export function mixed(image: Float32Array, partner: Float32Array, share: number): Float32Array {
  const [theirs, own] = [fround(share), fround(1 - fround(share))];
  return image.map((value, i) => fround(fround(own * value) + fround(theirs * partner[i])));
}

export function cutoutSquare(example: number, options: AugmentOptions): Rectangle | undefined {
  const { cutoutSize, height, width, seed, epoch, purposes } = options;
  if (cutoutSize === 0) return undefined;
  const [y, x] = pcg4d([seed, epoch, example, purposes.cutout]);
  const half = Math.floor(cutoutSize / 2);
  return { top: y % height - half, left: x % width - half, height: cutoutSize, width: cutoutSize };
}

export function erasedRectangle(example: number, options: AugmentOptions): Rectangle | undefined {
  const { height, width, erasing, seed, epoch, purposes } = options;
  let draw = pcg4d([seed, epoch, example, purposes.erasing]);
  if ((draw[0] >>> 1) >= Math.round(erasing.probability * 2 ** 31)) return undefined;
  for (let attempt = 0; attempt < 10; attempt++) {
    draw = pcg4d(draw);
    const area = fround((1311 + draw[0] % (26214 - 1311 + 1)) * (height * width)) / 2 ** 14;
    const aspect = (19661 + draw[1] % (218453 - 19661 + 1)) / 2 ** 16;
    const [tall, wide] = [roundedSide(fround(area * aspect), 1), roundedSide(area, aspect)];
    if (tall === 0 || wide === 0 || tall >= height || wide >= width) continue;
    return { top: draw[2] % (height - tall + 1), left: draw[3] % (width - wide + 1), height: tall, width: wide };
  }
  return undefined;
}

/** The largest side with scale (2 side - 1)^2 <= limit, which is round(sqrt(limit / scale) / 2). */
function roundedSide(limit: number, scale: number): number {
  let side = 0;
  while (fround(scale * (2 * side + 1) ** 2) <= limit) side++;
  return side;
}

function holds({ top, left, height, width }: Rectangle, y: number, x: number): boolean {
  return y >= top && y < top + height && x >= left && x < left + width;
}
