/**
 * A part of an image of random area, proportions and place, to be scaled to the network's input (Szegedy et al. 2015,
 * section 6; as torchvision's `RandomResizedCrop` draws it). The draws depend on (seed, epoch, example) alone.
 */
import { pcg4d, PURPOSE } from "../../gpu/mod.ts";
import type { Region } from "../images/decode.ts";
import type { Extent } from "../images/preprocessing.ts";

export interface RandomResizedCrop {
  /** Of the image's area. */
  readonly minScale: number;
  readonly maxScale: number;
  /** Width by height. */
  readonly minRatio: number;
  readonly maxRatio: number;
}

/** torchvision's defaults. */
export const RANDOM_RESIZED_CROP: RandomResizedCrop = { minScale: 0.08, maxScale: 1, minRatio: 3 / 4, maxRatio: 4 / 3 };

export interface DrawKey {
  readonly seed: number;
  readonly epoch: number;
  /** The image's index in its data set. */
  readonly example: number;
}

const TRIES = 10;

/** Area and proportions are drawn until the part fits, ten times at most; then it is the centre's largest. */
export function randomRegion(image: Extent, crop: RandomResizedCrop, { seed, epoch, example }: DrawKey): Region {
  const { minScale, maxScale, minRatio, maxRatio } = crop;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const draws = pcg4d(seed, epoch, example, PURPOSE.randomResizedCrop + attempt).map((draw) => draw / 2 ** 32);
    const area = image.height * image.width * between(minScale, maxScale, draws[0]);
    const ratio = Math.exp(between(Math.log(minRatio), Math.log(maxRatio), draws[1]));
    const height = Math.round(Math.sqrt(area / ratio));
    const width = Math.round(Math.sqrt(area * ratio));
    if (height < 1 || height > image.height || width < 1 || width > image.width) continue;
    const top = Math.floor(draws[2] * (image.height - height + 1));
    const left = Math.floor(draws[3] * (image.width - width + 1));
    return { top, left, height, width };
  }
  return centre(image, crop);
}

/** The largest part in the middle whose proportions are allowed. */
function centre(image: Extent, { minRatio, maxRatio }: RandomResizedCrop): Region {
  const ratio = image.width / image.height;
  const height = ratio < minRatio ? Math.max(1, Math.round(image.width / minRatio)) : image.height;
  const width = ratio > maxRatio ? Math.max(1, Math.round(image.height * maxRatio)) : image.width;
  return { top: (image.height - height) >> 1, left: (image.width - width) >> 1, height, width };
}

function between(low: number, high: number, draw: number): number {
  return low + (high - low) * draw;
}
