/** The choices that a network's name leaves open, as options of the commands that take a network. */
import { fromJson, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import {
  ActivationSchema,
  type ModelSpecSchema,
  NetworkSpecSchema,
  SchemeSchema,
  ShortcutSchema,
  TransitionSchema,
} from "../gen/mod.ts";
import { UsageError } from "./errors.ts";
import { enumChoice } from "./enum_choice.ts";
import { flag, optional, type OptionValues } from "./options.ts";
import { integer, type ValueKind } from "./values.ts";

export const modelOptions = {
  scheme: optional(
    enumChoice(SchemeSchema),
    "How it steps from block to block (default: the name's, or forward-euler)",
  ),
  transition: optional(enumChoice(TransitionSchema), "How a multi-step network begins a stage (default: the family's)"),
  "per-channel-coefficients": flag("Give a multi-step network a coefficient k for each channel"),
  columns: optional(integer("N", { minimum: 1, maximum: 4 }), "Of the blocks of a fractal network (default: 2)"),
  activation: optional(enumChoice(ActivationSchema), "Before or after the convolutions (default: the family's)"),
  shortcut: optional(enumChoice(ShortcutSchema), "Where the shape changes (default: the family's)"),
  network: optional(networkJson(), "A network outside the zoo, as JSON of the message NetworkSpec"),
};

/** A NetworkSpec as JSON: {"stem_channels": 16, "stages": [{"blocks": 3, "channels": 16}]}. */
function networkJson(): ValueKind<MessageShape<typeof NetworkSpecSchema>> {
  return {
    placeholder: "JSON",
    read(text) {
      try {
        return fromJson(NetworkSpecSchema, JSON.parse(text));
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new UsageError(`must be a NetworkSpec as JSON: ${reason}`);
      }
    },
  };
}

export function modelSpec(
  name: string,
  values: OptionValues<typeof modelOptions>,
): MessageInitShape<typeof ModelSpecSchema> {
  const { scheme, transition, columns, activation, shortcut, network } = values;
  const perChannelCoefficients = values["per-channel-coefficients"];
  return { name, scheme, transition, perChannelCoefficients, columns, activation, shortcut, network };
}
