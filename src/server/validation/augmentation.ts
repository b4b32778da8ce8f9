/** AugmentationConfig: every field checked; what is left out is the data set's or not done. */
import type { AugmentationChoices } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { checkEnum, checkInteger, checkZeroOrSingle } from "./fields.ts";

/** What a data set proposes for the augmentation of its images. */
export interface AugmentationDefaults {
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
}

const mostAlpha = 100;
const mostSide = 4096;
const fills = {
  [proto.ErasingFill.UNSPECIFIED]: "zero",
  [proto.ErasingFill.ZERO]: "zero",
  [proto.ErasingFill.NOISE]: "noise",
} as const;

/** @throws {InvalidFieldError} */
export function checkAugmentation(
  message: proto.AugmentationConfig | undefined,
  { batchSize }: { readonly batchSize: number },
): Partial<AugmentationDefaults> & AugmentationChoices {
  const { cropPadding, horizontalFlip, mixupAlpha = 0, cutoutSize = 0 } = message ?? {};
  if (cropPadding !== undefined) checkInteger("config.augmentation.crop_padding", cropPadding, { min: 0, max: 64 });
  checkZeroOrSingle("config.augmentation.mixup_alpha", mixupAlpha);
  if (mixupAlpha > mostAlpha) {
    throw new InvalidFieldError("config.augmentation.mixup_alpha", mixupAlpha, `at most ${mostAlpha}`);
  }
  if (mixupAlpha > 0 && batchSize === 1) {
    const allowed = "0 with a batch size of 1, which has no second image";
    throw new InvalidFieldError("config.augmentation.mixup_alpha", mixupAlpha, allowed);
  }
  checkInteger("config.augmentation.cutout_size", cutoutSize, { min: 0, max: mostSide });
  return {
    cropPadding,
    horizontalFlip,
    mixupAlpha: mixupAlpha || undefined,
    cutoutSize: cutoutSize || undefined,
    randomErasing: checkErasing(message),
  };
}

function checkErasing(message: proto.AugmentationConfig | undefined): AugmentationChoices["randomErasing"] {
  const { randomErasingProbability: probability = 0, randomErasingFill = proto.ErasingFill.UNSPECIFIED } = message ??
    {};
  if (!(probability >= 0 && probability <= 1)) {
    throw new InvalidFieldError("config.augmentation.random_erasing_probability", probability, "from 0 to 1");
  }
  const allowed = "ERASING_FILL_ZERO (1), ERASING_FILL_NOISE (2), or left out";
  const fill = checkEnum("config.augmentation.random_erasing_fill", randomErasingFill, fills, allowed);
  if (probability > 0) return { probability, fill };
  if (randomErasingFill === proto.ErasingFill.UNSPECIFIED) return undefined;
  throw new InvalidFieldError(
    "config.augmentation.random_erasing_fill",
    proto.ErasingFill[randomErasingFill],
    "left out without a random_erasing_probability",
  );
}
