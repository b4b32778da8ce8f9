/**
 * Data sets and images: what there is to train on, as packed `u8` pixels, and how a PNG, JPEG or WebP file becomes such
 * pixels.
 */
export type { DatasetSample, SampleOptions } from "./cache/sample.ts";
export type { StreamedSplit } from "./cache/streamed_reader.ts";
export type {
  DatasetDescription,
  DatasetKind,
  ImageSize,
  ImportReport,
  LabelledImages,
  SkippedFile,
  Split,
} from "./dataset.ts";
export { imageBytes } from "./dataset.ts";
export { DatasetError, type DatasetErrorKind, ImageError, UnknownDatasetError } from "./errors.ts";
export { decodeImage } from "./images/decode.ts";
export { encodePng } from "./images/encode.ts";
export { MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE, MAX_TARGET_SIDE } from "./images/limits.ts";
export { CENTER_CROP, type Preprocessing, STRETCH } from "./images/preprocessing.ts";
export { resizePixels } from "./images/resize.ts";
export type { ImportOptions } from "./import_dataset.ts";
export { DatasetRegistry } from "./registry.ts";
export { BatchPreparer, type StreamedSource } from "./streaming/batch_preparer.ts";
export type { PreparedStream } from "./streaming/prepared_stream.ts";
export type { StreamRequest } from "./streaming/preparer_messages.ts";
export type { PreparedBatch, View } from "./streaming/prepared_batches.ts";
export { RANDOM_RESIZED_CROP, randomRegion, type RandomResizedCrop } from "./streaming/random_resized_crop.ts";
export { fetchedFiles, type FetchOptions, type RemoteFile } from "./transfer/fetched_files.ts";
export { KNOWN_DATASETS, knownSource } from "./transfer/known_datasets.ts";
export { receivedFile } from "./transfer/received_file.ts";
export type { TransferLimits, TransferredSource } from "./transfer/transferred_source.ts";
