/** ModelSpec between its message and the models' own form; the tables serve validation too. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import * as proto from "../../gen/mod.ts";
import type {
  Activation,
  ModelSpec,
  NetworkSpec,
  SchemeName,
  Shortcut,
  StageSpec,
  Transition,
} from "../../models/mod.ts";

export const transitions: Readonly<Record<Transition, proto.Transition>> = {
  plain: proto.Transition.PLAIN,
  project_both: proto.Transition.PROJECT_BOTH,
};

export const schemes: Readonly<Record<SchemeName, proto.Scheme>> = {
  forward_euler: proto.Scheme.FORWARD_EULER,
  linear_multistep: proto.Scheme.LINEAR_MULTISTEP,
  midpoint: proto.Scheme.MIDPOINT,
  leapfrog: proto.Scheme.LEAPFROG,
  rk4: proto.Scheme.RK4,
  momentum: proto.Scheme.MOMENTUM,
  poly_2: proto.Scheme.POLY_2,
  poly_3: proto.Scheme.POLY_3,
  mpoly_2: proto.Scheme.MPOLY_2,
  two_way: proto.Scheme.TWO_WAY,
  fractal: proto.Scheme.FRACTAL,
  reversible: proto.Scheme.REVERSIBLE,
};

export const activations: Readonly<Record<Activation, proto.Activation>> = {
  pre: proto.Activation.PRE,
  post: proto.Activation.POST,
};

export const shortcuts: Readonly<Record<Shortcut, proto.Shortcut>> = {
  projection: proto.Shortcut.PROJECTION,
  bare_projection: proto.Shortcut.BARE_PROJECTION,
  zero_pad: proto.Shortcut.ZERO_PAD,
};

export const stems: Readonly<Record<NetworkSpec["stem"], proto.Stem>> = {
  small: proto.Stem.SMALL,
  large: proto.Stem.LARGE,
};

export const blocks: Readonly<Record<StageSpec["block"], proto.Block>> = {
  basic: proto.Block.BASIC,
  bottleneck: proto.Block.BOTTLENECK,
};

export function toModelSpec(spec: ModelSpec): MessageInitShape<typeof proto.ModelSpecSchema> {
  const { name, transition, scheme, activation, shortcut, perChannelCoefficients, columns, network } = spec;
  return {
    name,
    transition: transition && transitions[transition],
    scheme: scheme && schemes[scheme],
    activation: activation && activations[activation],
    shortcut: shortcut && shortcuts[shortcut],
    perChannelCoefficients,
    columns,
    network: network && {
      stem: stems[network.stem],
      stemChannels: network.stemChannels,
      stages: network.stages.map((stage) => ({ ...stage, block: blocks[stage.block] })),
    },
  };
}
