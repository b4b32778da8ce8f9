import type { ImageSize } from "../dataset.ts";
import { formatSize, imageBytes } from "../dataset.ts";
import { ImageError } from "../errors.ts";
import { convertChannels } from "./channels.ts";
import { withImageLibrary } from "./image_library.ts";
import { checkImageSize, checkTargetSize } from "./limits.ts";
import { type Frame, frameOf, type Preprocessing, STRETCH } from "./preprocessing.ts";

/**
 * Scales raw images as `decodeImage` scales decoded ones; where the height and width are the target's already, they
 * are taken to be prepared, and no value changes.
 *
 * @param pixels one or several images of size `from` one after another, NHWC bytes
 * @returns as many images of size `target`, NHWC bytes
 * @throws {ImageError} where the bytes are not whole images of the size given, or a size is past the limits
 */
export async function resizePixels(
  pixels: Uint8Array,
  from: ImageSize,
  { target, preprocessing = STRETCH }: { readonly target: ImageSize; readonly preprocessing?: Preprocessing },
): Promise<Uint8Array> {
  checkTargetSize(target);
  checkRawImages(pixels, from);
  if (from.height === target.height && from.width === target.width) {
    return convertChannels(pixels, { from: from.channels, to: target.channels }).slice();
  }
  const frame = frameOf(preprocessing, from, target);
  const count = pixels.length / imageBytes(from);
  const result = new Uint8Array(count * imageBytes(target));
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const image = pixels.subarray(i * imageBytes(from), (i + 1) * imageBytes(from));
      result.set(await resizeOne(image, from, { frame, target }), i * imageBytes(target));
    }),
  );
  return result;
}

async function resizeOne(
  pixels: Uint8Array,
  from: ImageSize,
  { frame: { scaled, top, left }, target }: { readonly frame: Frame; readonly target: ImageSize },
): Promise<Uint8Array> {
  const { height, width } = target;
  const cut = await withImageLibrary((sharp) =>
    sharp(pixels, { raw: { height: from.height, width: from.width, channels: from.channels }, limitInputPixels: false })
      .resize({ ...scaled, fit: "fill", kernel: "linear" }).extract({ top, left, height, width })
      .toColourspace(from.channels === 1 ? "b-w" : "srgb").raw().toBuffer()
  );
  return convertChannels(cut, { from: from.channels, to: target.channels });
}

function checkRawImages(pixels: Uint8Array, size: ImageSize): void {
  const { height, width, channels } = size;
  const isWhole = [height, width].every((side) => Number.isInteger(side) && side > 0);
  if (!isWhole || (channels !== 1 && channels !== 3)) {
    throw new ImageError(`Raw image of ${formatSize(size)}: must be of at least 1x1 pixels with 1 or 3 channels`);
  }
  checkImageSize(size);
  const bytes = imageBytes(size);
  if (pixels.length === 0 || pixels.length % bytes !== 0) {
    throw new ImageError(`Raw image has ${pixels.length} bytes: ${formatSize(size)} needs ${bytes}`);
  }
}
