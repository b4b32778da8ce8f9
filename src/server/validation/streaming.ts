/** The part of AugmentationConfig that is of streamed data sets: which part of an image is taken, and how large it becomes. */
import {
  type DatasetDescription,
  MAX_TARGET_SIDE,
  RANDOM_RESIZED_CROP,
  type RandomResizedCrop,
} from "../../data/mod.ts";
import type { TrainingConfig } from "../../engine/mod.ts";
import type { TrainingConfig as TrainingConfigMessage } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { resolveRecipe } from "../recipes/resolve.ts";
import { checkInteger } from "./fields.ts";

/** Both absent where the data set is packed. */
export type StreamingFields = Pick<TrainingConfig, "image" | "randomResizedCrop">;

const prefix = "config.augmentation";
/** Proportions past that are no images'. */
const mostRatio = 100;

/** @throws {InvalidFieldError} also for a field that the data set has no use for. */
export function checkStreaming(
  config: TrainingConfigMessage | undefined,
  dataset: Pick<DatasetDescription, "name" | "kind" | "channels">,
): StreamingFields {
  const message = config && resolveRecipe(config).augmentation;
  const { randomResizedCrop = true, minScale, maxScale, minRatio, maxRatio, image } = message ?? {};
  const scales = { min_scale: minScale, max_scale: maxScale, min_ratio: minRatio, max_ratio: maxRatio };
  if (dataset.kind !== "streamed") {
    const given = { random_resized_crop: message?.randomResizedCrop || undefined, ...scales, image: image && "a size" };
    requireAbsent(given, `${dataset.name} is packed, streamed data sets alone have it`);
    return {};
  }
  const size = image && { image: checkSize(image, dataset.channels) };
  if (randomResizedCrop) return { ...size, randomResizedCrop: checkCrop({ minScale, maxScale, minRatio, maxRatio }) };
  requireAbsent(scales, "there is no random_resized_crop");
  return { ...size, randomResizedCrop: "off" };
}

function requireAbsent(fields: Readonly<Record<string, unknown>>, reason: string): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) throw new InvalidFieldError(`${prefix}.${name}`, value, `left out: ${reason}`);
  }
}

function checkCrop(given: Partial<RandomResizedCrop>): RandomResizedCrop {
  const {
    minScale = RANDOM_RESIZED_CROP.minScale,
    maxScale = RANDOM_RESIZED_CROP.maxScale,
    minRatio = RANDOM_RESIZED_CROP.minRatio,
    maxRatio = RANDOM_RESIZED_CROP.maxRatio,
  } = given;
  checkPart("max_scale", maxScale, 1);
  checkPart("min_scale", minScale, maxScale);
  checkPart("max_ratio", maxRatio, mostRatio);
  checkPart("min_ratio", minRatio, maxRatio);
  return { minScale, maxScale, minRatio, maxRatio };
}

/** Above 0, so that there is something to see. */
function checkPart(name: string, value: number, most: number): void {
  if (value > 0 && value <= most) return;
  throw new InvalidFieldError(`${prefix}.${name}`, value, `above 0 and at most ${most}`);
}

function checkSize(image: { height: number; width: number; channels: number }, channels: 1 | 3) {
  if (image.channels !== channels) {
    throw new InvalidFieldError(`${prefix}.image.channels`, image.channels, `${channels}, as the data set's`);
  }
  const range = { min: 1, max: MAX_TARGET_SIDE };
  return {
    height: checkInteger(`${prefix}.image.height`, image.height, range),
    width: checkInteger(`${prefix}.image.width`, image.width, range),
    channels,
  };
}
