import { imageBytes, type ImageSize } from "../dataset.ts";
import { ImageError } from "../errors.ts";
import { withImageLibrary } from "./image_library.ts";

/**
 * A PNG file of height x width x channels bytes, channels last.
 * @throws {ImageError} when the bytes are not of that size
 */
export async function encodePng(pixels: Uint8Array, size: ImageSize): Promise<Uint8Array> {
  const { height, width, channels } = size;
  if (pixels.length !== imageBytes(size)) {
    throw new ImageError(
      `Image of ${height}x${width}x${channels} takes ${imageBytes(size)} bytes: got ${pixels.length}`,
    );
  }
  return await withImageLibrary(async (sharp) => {
    const raw = { height, width, channels: channels === 1 ? 1 : 3 } as const;
    return new Uint8Array(await sharp(pixels, { raw }).png().toBuffer());
  });
}
