import type { ImageSize } from "../dataset.ts";
import { imageBytes } from "../dataset.ts";
import { ImageError } from "../errors.ts";
import { convertChannels } from "./channels.ts";
import { fileType, hasJpegEnd, hasPngEnd, hasWebpEnd } from "./file_type.ts";
import { withImageLibrary } from "./image_library.ts";
import { checkImageSize, checkTargetSize, MAX_IMAGE_FILE_BYTES } from "./limits.ts";
import type { SharpOptions } from "sharp";

/** Damaged pixels are an error; the size is checked by us, with words of our own. */
const INPUT: SharpOptions = { failOn: "error", limitInputPixels: false };
const TRUNCATED = "Image is truncated: the file ends before the image does";

/**
 * Decodes a PNG, JPEG or WebP file and scales it to the target's height and width, whatever its own proportions, by
 * bilinear interpolation widened to the scale when it shrinks (as Pillow and torchvision do). What the viewer of the
 * file would see is what counts: the EXIF orientation is applied, colours are converted to sRGB with 8 bits, and
 * transparent parts show white. Grey is repeated into three channels, colour becomes luma in one.
 *
 * @returns height x width x channels bytes, channels last
 * @throws {ImageError} for other types (by content, not by name), truncated or damaged files, and sizes past the limits
 */
export async function decodeImage(bytes: Uint8Array, target: ImageSize): Promise<Uint8Array> {
  checkTargetSize(target);
  checkFile(bytes);
  const { height, width } = target;
  return await withImageLibrary(async (sharp) => {
    try {
      // Only reads the header.
      checkImageSize(await sharp(bytes, INPUT).metadata());
      if (isCutPng(bytes) || isCutWebp(bytes)) throw new ImageError(TRUNCATED);
      const { data, info } = await sharp(bytes, INPUT).autoOrient().flatten({ background: "white" })
        .toColourspace("srgb").resize({ height, width, fit: "fill", kernel: "linear" })
        .raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
      if (info.channels !== 3 || data.length !== imageBytes({ height, width, channels: 3 })) {
        throw new ImageError(`Image decodes to ${info.channels} channels: 3 were expected`);
      }
      // A copy: the library's buffer may be part of a pool.
      return convertChannels(new Uint8Array(data), { from: 3, to: target.channels });
    } catch (error) {
      throw asImageError(error, bytes);
    }
  });
}

function checkFile(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new ImageError("Image is empty: must be a PNG, JPEG or WebP file");
  if (bytes.length > MAX_IMAGE_FILE_BYTES) {
    throw new ImageError(`Image file has ${bytes.length} bytes: at most ${MAX_IMAGE_FILE_BYTES} are accepted`);
  }
  const type = fileType(bytes);
  if (type !== "PNG" && type !== "JPEG" && type !== "WebP") {
    const looks = type === undefined ? "is of an unknown type" : `looks like ${type}`;
    throw new ImageError(`Image ${looks}: only PNG, JPEG and WebP are accepted`);
  }
}

function isCutPng(bytes: Uint8Array): boolean {
  return fileType(bytes) === "PNG" && !hasPngEnd(bytes);
}

function isCutJpeg(bytes: Uint8Array): boolean {
  return fileType(bytes) === "JPEG" && !hasJpegEnd(bytes);
}

function isCutWebp(bytes: Uint8Array): boolean {
  return fileType(bytes) === "WebP" && !hasWebpEnd(bytes);
}

/** The library tells in lines, some of them twice, and sometimes not at all where several images fail at once. */
function asImageError(error: unknown, bytes: Uint8Array): unknown {
  if (!(error instanceof Error) || error instanceof ImageError) return error;
  const isCut = isCutPng(bytes) || isCutJpeg(bytes) || isCutWebp(bytes) || error.message.includes("premature end");
  if (isCut) return new ImageError(TRUNCATED, { cause: error });
  return new ImageError(`Image is damaged: ${error.message.split("\n")[0]}`, { cause: error });
}
