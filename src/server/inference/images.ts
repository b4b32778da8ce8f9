/** Received images, made the size of a network's input. */
import { decodeImage, ImageError, type ImageSize, type Preprocessing, resizePixels } from "../../data/mod.ts";
import type { CheckpointDescription } from "../../engine/mod.ts";
import type { ReceivedImage } from "../validation/inference.ts";
import { checkChannels } from "../validation/model_spec.ts";

/** What a network takes, and how an image becomes that. */
export interface NetworkInput {
  readonly size: ImageSize;
  readonly preprocessing: Preprocessing;
}

/** @throws {InvalidFieldError} never for a network that was trained here: its images have 1 or 3 channels. */
export function networkInput({ height, width, channels, preprocessing }: CheckpointDescription): NetworkInput {
  return { size: { height, width, channels: checkChannels("channels", channels) }, preprocessing };
}

/**
 * @returns height x width x channels bytes
 * @throws {ImageError} not a PNG, JPEG or WebP file, truncated, or too large.
 */
export function toInput(image: ReceivedImage, { size, preprocessing }: NetworkInput): Promise<Uint8Array> {
  return image.kind === "encoded"
    ? decodeImage(image.bytes, size, preprocessing)
    : resizePixels(image.pixels, image.size, { target: size, preprocessing });
}

/**
 * As `toInput()`, for one of several images.
 * @throws {ImageError} naming the image
 */
export async function toNamedInput(image: ReceivedImage, input: NetworkInput, name: string): Promise<Uint8Array> {
  try {
    return await toInput(image, input);
  } catch (cause) {
    throw cause instanceof ImageError ? new ImageError(`${name}: ${cause.message}`, { cause }) : cause;
  }
}

/** Several images of one size, one after another. */
export function joinImages(images: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(images.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const image of images) {
    joined.set(image, offset);
    offset += image.length;
  }
  return joined;
}
