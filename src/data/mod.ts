/**
 * Data sets and images: what there is to train on, as packed `u8` pixels, and how a PNG, JPEG or WebP file becomes such
 * pixels.
 */
export type { DatasetDescription, ImageSize, ImportReport, LabelledImages, SkippedFile, Split } from "./dataset.ts";
export { DatasetError, type DatasetErrorKind, ImageError, UnknownDatasetError } from "./errors.ts";
export { decodeImage } from "./images/decode.ts";
export { encodePng } from "./images/encode.ts";
export { MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE, MAX_TARGET_SIDE } from "./images/limits.ts";
export { resizePixels } from "./images/resize.ts";
export { DatasetRegistry, type ImportOptions } from "./registry.ts";
