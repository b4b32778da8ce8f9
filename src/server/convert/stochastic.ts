/** StochasticConfig between its message and the models' own form; the tables serve validation too. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import * as proto from "../../gen/mod.ts";
import type { DepthRule, DropScaling, NoiseKind, StochasticTraining } from "../../models/mod.ts";

export const depthRules: Readonly<Record<DepthRule, proto.DepthRule>> = {
  zero_based: proto.DepthRule.ZERO_BASED,
  one_based: proto.DepthRule.ONE_BASED,
};

export const dropScalings: Readonly<Record<DropScaling, proto.DropScaling>> = {
  training: proto.DropScaling.TRAINING,
  test: proto.DropScaling.TEST,
};

export const noiseKinds: Readonly<Record<NoiseKind, proto.NoiseKind>> = {
  gaussian_then_uniform: proto.NoiseKind.GAUSSIAN_THEN_UNIFORM,
  gaussian: proto.NoiseKind.GAUSSIAN,
  uniform: proto.NoiseKind.UNIFORM,
};

export function toStochasticConfig(
  { depth, dropPath, shakeShake, noise }: StochasticTraining,
): MessageInitShape<typeof proto.StochasticConfigSchema> {
  return {
    depth: depth && {
      survival: depth.survival,
      depthRule: depthRules[depth.rule],
      dropScaling: dropScalings[depth.scaling],
    },
    dropPath,
    shakeShake,
    noise: noise && { noiseKind: noiseKinds[noise.kind], sigma: noise.sigma },
  };
}
