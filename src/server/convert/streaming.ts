import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TrainingConfig } from "../../engine/mod.ts";
import type { AugmentationConfigSchema } from "../../gen/mod.ts";

/** The part of AugmentationConfig that is of streamed data sets; empty where the data set is packed. */
export function toStreaming(
  { image, randomResizedCrop: crop }: Pick<TrainingConfig, "image" | "randomResizedCrop">,
): MessageInitShape<typeof AugmentationConfigSchema> {
  if (crop === undefined) return {};
  return crop === "off" ? { image, randomResizedCrop: false } : { image, randomResizedCrop: true, ...crop };
}
