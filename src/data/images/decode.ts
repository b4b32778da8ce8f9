import type { ImageSize } from "../dataset.ts";
import { imageBytes } from "../dataset.ts";
import { ImageError } from "../errors.ts";
import { convertChannels } from "./channels.ts";
import { fileType, hasJpegEnd, hasPngEnd, hasWebpEnd } from "./file_type.ts";
import { imageLibrary, withImageLibrary } from "./image_library.ts";
import { checkImageSize, checkTargetSize, MAX_IMAGE_FILE_BYTES } from "./limits.ts";
import { type Extent, frameOf, type Preprocessing, STRETCH } from "./preprocessing.ts";
import type { Metadata, Sharp, SharpOptions } from "sharp";
import type SharpLibrary from "sharp";

/** Damaged pixels are an error; the size is checked by us, with words of our own. */
const INPUT: SharpOptions = { failOn: "error", limitInputPixels: false };
const TRUNCATED = "Image is truncated: the file ends before the image does";
/** EXIF's orientations from here on swap height and width. */
const FIRST_TURNED = 5;

/** A part of an image as it is seen, in pixels. */
export interface Region extends Extent {
  readonly top: number;
  readonly left: number;
}

/**
 * Decodes a PNG, JPEG or WebP file and scales it to the target's height and width, by default whatever its own
 * proportions, by bilinear interpolation widened to the scale when it shrinks (as Pillow and torchvision do). What the
 * viewer of the file would see is what counts: the EXIF orientation is applied, colours are converted to sRGB with
 * 8 bits, and transparent parts show white. Grey is repeated into three channels, colour becomes luma in one.
 *
 * @returns height x width x channels bytes, channels last
 * @throws {ImageError} for other types (by content, not by name), truncated or damaged files, and sizes past the limits
 */
export async function decodeImage(
  bytes: Uint8Array,
  target: ImageSize,
  preprocessing: Preprocessing = STRETCH,
): Promise<Uint8Array> {
  return (await inspectImage(bytes, target, preprocessing)).pixels;
}

/**
 * As `decodeImage()`, and tells the image's own height and width, orientation applied.
 * @throws {ImageError}
 */
export async function inspectImage(
  bytes: Uint8Array,
  target: ImageSize,
  preprocessing: Preprocessing,
): Promise<Extent & { readonly pixels: Uint8Array }> {
  checkTargetSize(target);
  checkFile(bytes);
  return await withImageLibrary((sharp) =>
    ofImage(bytes, async () => {
      // Only reads the header.
      const extent = extentSeen(await sharp(bytes, INPUT).metadata());
      if (isCutPng(bytes) || isCutWebp(bytes)) throw new ImageError(TRUNCATED);
      const pixels = await decodeAll(sharp, bytes, { extent, target, preprocessing });
      return { ...extent, pixels };
    })
  );
}

/**
 * A file that `inspectImage()` took before: its type and size are known. The caller bounds how many are under way.
 *
 * @param view the part that fills the target, or how the whole becomes it
 * @throws {ImageError}
 */
export async function decodeKnownImage(
  bytes: Uint8Array,
  extent: Extent,
  { target, view }: { readonly target: ImageSize; readonly view: Region | Preprocessing },
): Promise<Uint8Array> {
  const sharp = await imageLibrary();
  return await ofImage(bytes, () => {
    if ("method" in view) return decodeFrame(sharp, bytes, { extent, target, preprocessing: view });
    const { top, left, height, width } = view;
    // The library crops before it scales, and then decodes all pixels: no shortcut blurs what is left.
    const cropped = asSeen(sharp, bytes).extract({ top, left, height, width });
    return decodeTo(scaledTo(cropped, target, { fast: false }), target);
  });
}

interface FrameOptions {
  readonly extent: Extent;
  readonly target: ImageSize;
  readonly preprocessing: Preprocessing;
}

function decodeFrame(
  sharp: typeof SharpLibrary,
  bytes: Uint8Array,
  { extent, target, preprocessing }: FrameOptions,
): Promise<Uint8Array> {
  const image = asSeen(sharp, bytes);
  if (preprocessing.method === "stretch") return decodeTo(scaledTo(image, target, { fast: true }), target);
  const { scaled, top, left } = frameOf(preprocessing, extent, target);
  const { height, width } = target;
  return decodeTo(scaledTo(image, scaled, { fast: false }).extract({ top, left, height, width }), target);
}

/** As `decodeFrame()`, and decodes the lines below the frame too, whose damage it would not tell. */
async function decodeAll(sharp: typeof SharpLibrary, bytes: Uint8Array, options: FrameOptions): Promise<Uint8Array> {
  const { extent, target, preprocessing } = options;
  const { scaled, top, left } = frameOf(preprocessing, extent, target);
  const below = scaled.height - top - target.height;
  // WebP files are decoded whole in any case.
  if (below === 0 || fileType(bytes) === "WebP") return await decodeFrame(sharp, bytes, options);
  if (below <= target.height) {
    const { height, width, channels } = { ...target, height: target.height + below };
    const cut = scaledTo(asSeen(sharp, bytes), scaled, { fast: false }).extract({ top, left, height, width });
    return (await decodeTo(cut, { height, width, channels })).slice(0, imageBytes(target));
  }
  // Of a tall image that would be much: it is decoded again, where it is a JPEG file at an eighth.
  const eighth = { height: Math.ceil(extent.height / 8), width: Math.ceil(extent.width / 8), channels: 3 } as const;
  await decodeTo(scaledTo(asSeen(sharp, bytes), eighth, { fast: true }), eighth);
  return await decodeFrame(sharp, bytes, options);
}

/** The image upright, on white, in sRGB. */
function asSeen(sharp: typeof SharpLibrary, bytes: Uint8Array): Sharp {
  return sharp(bytes, INPUT).autoOrient().flatten({ background: "white" }).toColourspace("srgb");
}

/**
 * Large JPEG files are decoded at a half, a quarter or an eighth, which the format allows: of what evaluation crops, at
 * no less than twice the size, which on average stays within two grey levels of decoding all even for noise.
 */
function scaledTo(image: Sharp, { height, width }: Extent, { fast }: { readonly fast: boolean }): Sharp {
  return image.resize({ height, width, fit: "fill", kernel: "linear", fastShrinkOnLoad: fast });
}

async function decodeTo(image: Sharp, { height, width, channels }: ImageSize): Promise<Uint8Array> {
  const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  if (info.channels !== 3 || data.length !== imageBytes({ height, width, channels: 3 })) {
    throw new ImageError(`Image decodes to ${info.channels} channels: 3 were expected`);
  }
  // A copy: the library's buffer may be part of a pool.
  return convertChannels(new Uint8Array(data), { from: 3, to: channels });
}

/** @throws {ImageError} past the limits */
function extentSeen({ height, width, orientation = 1 }: Metadata): Extent {
  checkImageSize({ height, width });
  return orientation >= FIRST_TURNED ? { height: width, width: height } : { height, width };
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

async function ofImage<T>(bytes: Uint8Array, decode: () => Promise<T>): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    throw asImageError(error, bytes);
  }
}

/** The library tells in lines, some of them twice, and sometimes not at all where several images fail at once. */
function asImageError(error: unknown, bytes: Uint8Array): unknown {
  if (!(error instanceof Error) || error instanceof ImageError) return error;
  const isCut = isCutPng(bytes) || isCutJpeg(bytes) || isCutWebp(bytes) || error.message.includes("premature end");
  if (isCut) return new ImageError(TRUNCATED, { cause: error });
  return new ImageError(`Image is damaged: ${error.message.split("\n")[0]}`, { cause: error });
}
