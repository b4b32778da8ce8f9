/** Options of `train` for the augmentation of its images. */
import { ErasingFillSchema } from "../gen/mod.ts";
import { enumChoice } from "./enum_choice.ts";
import { optional, type OptionValues } from "./options.ts";
import { decimal, integer, trueOrFalse } from "./values.ts";

export const augmentationOptions = {
  "crop-padding": optional(integer("N"), "Pixels of padding before the random crop (default: the data set's)"),
  "horizontal-flip": optional(trueOrFalse(), "Mirror half of the images (default: the data set's)"),
  mixup: optional(decimal("ALPHA"), "Blend images pairwise in shares of Beta(ALPHA, ALPHA) (default: 0, not at all)"),
  cutout: optional(integer("SIDE"), "Cut a square of SIDE pixels out of each image (default: 0, none)"),
  "random-erasing": optional(decimal("P"), "Erase a rectangle of an image with this probability (default: 0)"),
  "random-erasing-fill": optional(enumChoice(ErasingFillSchema), "What takes its place (default: zero)"),
};

/** The fields of an AugmentationConfig that these options set. */
export function augmentationConfig(values: OptionValues<typeof augmentationOptions>) {
  return {
    cropPadding: values["crop-padding"],
    horizontalFlip: values["horizontal-flip"],
    mixupAlpha: values.mixup,
    cutoutSize: values.cutout,
    randomErasingProbability: values["random-erasing"],
    randomErasingFill: values["random-erasing-fill"],
  };
}
