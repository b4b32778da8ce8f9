import type { TrainingConfig } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";

const fills = { zero: proto.ErasingFill.ZERO, noise: proto.ErasingFill.NOISE };

/** The fields of an AugmentationConfig that are of all data sets, every default filled in. */
export function toAugmentationConfig(config: TrainingConfig) {
  const { cropPadding, horizontalFlip, mixupAlpha = 0, cutoutSize = 0, randomErasing } = config;
  return {
    cropPadding,
    horizontalFlip,
    mixupAlpha,
    cutoutSize,
    randomErasingProbability: randomErasing?.probability ?? 0,
    randomErasingFill: randomErasing && fills[randomErasing.fill],
  };
}
