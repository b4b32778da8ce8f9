/** What training does with the images of a streamed data set, as options. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AugmentationConfigSchema } from "../gen/mod.ts";
import { optional, type OptionValues } from "./options.ts";
import { decimal, imageSize, trueOrFalse } from "./values.ts";

export const streamingOptions = {
  image: optional(imageSize(), "What is cut out of a streamed data set's images (default: the data set's)"),
  "random-resized-crop": optional(
    trueOrFalse(),
    "Take a random part of each image of a streamed data set, else its centre (default: true)",
  ),
  "min-scale": optional(decimal("X"), "The smallest part's share of the image's area (default: 0.08)"),
  "max-scale": optional(decimal("X"), "The largest part's (default: 1)"),
  "min-ratio": optional(decimal("X"), "The part's width by its height, at least (default: 0.75)"),
  "max-ratio": optional(decimal("X"), "At most (default: 1.3333)"),
};

export function streamingAugmentation(
  values: OptionValues<typeof streamingOptions>,
): MessageInitShape<typeof AugmentationConfigSchema> {
  return {
    image: values.image,
    randomResizedCrop: values["random-resized-crop"],
    minScale: values["min-scale"],
    maxScale: values["max-scale"],
    minRatio: values["min-ratio"],
    maxRatio: values["max-ratio"],
  };
}
