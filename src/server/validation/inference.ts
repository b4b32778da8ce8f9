/** Requests of InferenceService. */
import type { ImageSize } from "../../data/mod.ts";
import type { EvaluateRequest, Image, InferRequest, ModelSource, StreamInferRequest } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { BATCH_SIZES, checkInteger, checkName, checkRunName, checkSplit, checkText } from "./fields.ts";
import { checkImageSize } from "./model_spec.ts";

/** Which weights: the newest of a run, or a checkpoint's. */
export type Source =
  | { readonly kind: "run"; readonly id: string }
  /** Path not yet known to be one that the server may read. */
  | { readonly kind: "checkpoint"; readonly path: string };

/** An image as it came: a file, or pixels that fill their size. */
export type ReceivedImage =
  | { readonly kind: "encoded"; readonly bytes: Uint8Array }
  | { readonly kind: "raw"; readonly size: ImageSize; readonly pixels: Uint8Array };

export const mostImages = 256;

export interface EvaluationOrder {
  readonly source: Source;
  readonly dataset?: string;
  readonly split: "train" | "test";
  readonly batchSize: number;
  readonly limit?: number;
}

/** @throws {InvalidFieldError} */
export function checkEvaluate(request: EvaluateRequest): EvaluationOrder {
  return {
    source: checkSource(request.source),
    dataset: request.dataset === "" ? undefined : checkName("dataset", request.dataset),
    split: checkSplit(request.split, "test"),
    batchSize: checkInteger("batch_size", request.batchSize ?? 64, BATCH_SIZES),
    limit: request.limit === undefined ? undefined : checkInteger("limit", request.limit, { min: 1, max: 2 ** 32 - 1 }),
  };
}

export interface InferenceOrder {
  readonly source: Source;
  readonly images: readonly ReceivedImage[];
  readonly topK: number;
}

/** @throws {InvalidFieldError} */
export function checkInfer(request: InferRequest): InferenceOrder {
  const { length } = request.images;
  if (length < 1 || length > mostImages) throw new InvalidFieldError("images", length, `1 to ${mostImages} images`);
  return {
    source: checkSource(request.source),
    images: request.images.map((image, index) => checkImage(`images[${index}]`, image)),
    topK: checkTopK(request.topK),
  };
}

/** One image of a stream; its source is checked apart, since it may be an earlier message's. @throws {InvalidFieldError} */
export function checkStreamInfer(request: StreamInferRequest): { image: ReceivedImage; topK: number } {
  checkText("id", request.id, { min: 0, max: 128 });
  return { image: checkImage("image", request.image), topK: checkTopK(request.topK) };
}

/** @throws {InvalidFieldError} */
export function checkSource(message: ModelSource | undefined): Source {
  const source = message?.source;
  if (source?.case === "run") return { kind: "run", id: checkRunName("source.run", source.value) };
  if (source?.case === "checkpoint") {
    return { kind: "checkpoint", path: checkText("source.checkpoint", source.value, { min: 1, max: 4096 }) };
  }
  throw new InvalidFieldError("source", undefined, "set: a run, or the path of a checkpoint");
}

/** More classes than a network has are cut to what it has. */
function checkTopK(topK = 5): number {
  return checkInteger("top_k", topK, { min: 1, max: 1000 });
}

function checkImage(field: string, image: Image | undefined): ReceivedImage {
  const content = image?.content;
  if (content?.case === "encoded" && content.value.length > 0) return { kind: "encoded", bytes: content.value };
  if (content?.case === "raw") {
    const size = checkImageSize(`${field}.raw`, content.value);
    const { pixels } = content.value;
    const expected = size.height * size.width * size.channels;
    if (pixels.length === expected) return { kind: "raw", size, pixels };
    throw new InvalidFieldError(
      `${field}.raw.pixels`,
      `${pixels.length} bytes`,
      `height x width x channels = ${expected} bytes`,
    );
  }
  throw new InvalidFieldError(field, undefined, "set: a PNG, JPEG or WebP file, or raw pixels");
}
