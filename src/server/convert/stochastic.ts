/** StochasticConfig between its message and the models' own form; the tables serve validation too. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import * as proto from "../../gen/mod.ts";
import type { DepthRule, DropScaling, StochasticTraining } from "../../models/mod.ts";

export const depthRules: Readonly<Record<DepthRule, proto.DepthRule>> = {
  zero_based: proto.DepthRule.ZERO_BASED,
  one_based: proto.DepthRule.ONE_BASED,
};

export const dropScalings: Readonly<Record<DropScaling, proto.DropScaling>> = {
  training: proto.DropScaling.TRAINING,
  test: proto.DropScaling.TEST,
};

export function toStochasticConfig(
  { depth }: StochasticTraining,
): MessageInitShape<typeof proto.StochasticConfigSchema> {
  return {
    depth: depth && {
      survival: depth.survival,
      depthRule: depthRules[depth.rule],
      dropScaling: dropScalings[depth.scaling],
    },
  };
}
