/** Small pictures of images, for people to look at. */
import type { ImageSize } from "../dataset.ts";
import { ImageError } from "../errors.ts";
import { withImageLibrary } from "./image_library.ts";

/**
 * Of an image file, upright and whole, scaled down where it is larger.
 *
 * @param maxSide pixels a side, at most
 * @returns a PNG file
 * @throws {ImageError} where it cannot be decoded
 */
export async function thumbnailOfFile(bytes: Uint8Array, maxSide: number): Promise<Uint8Array> {
  return await withImageLibrary(async (sharp) => {
    try {
      const upright = sharp(bytes, { failOn: "error", limitInputPixels: false }).autoOrient().flatten({
        background: "white",
      }).toColourspace("srgb");
      return new Uint8Array(await upright.resize(within(maxSide)).png().toBuffer());
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      throw new ImageError(`Image is damaged: ${error.message.split("\n")[0]}`, { cause: error });
    }
  });
}

/**
 * Of raw pixels, channels last, scaled down where they are more.
 *
 * @param maxSide pixels a side, at most
 * @returns a PNG file
 */
export async function thumbnailOfPixels(
  pixels: Uint8Array,
  { height, width, channels }: ImageSize,
  maxSide: number,
): Promise<Uint8Array> {
  return await withImageLibrary(async (sharp) => {
    const image = sharp(pixels, { raw: { height, width, channels }, limitInputPixels: false });
    return new Uint8Array(await image.resize(within(maxSide)).png().toBuffer());
  });
}

function within(maxSide: number) {
  return { width: maxSide, height: maxSide, fit: "inside", withoutEnlargement: true } as const;
}
