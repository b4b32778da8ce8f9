/** ModelSpec and ImageShape. Which names there are is the models' to say. */
import { type ImageSize, MAX_IMAGE_SIDE } from "../../data/mod.ts";
import * as proto from "../../gen/mod.ts";
import type { ModelSpec, NetworkSpec } from "../../models/mod.ts";
import { activations, blocks, schemes, shortcuts, stems, transitions } from "../convert/model_spec.ts";
import { InvalidFieldError } from "../errors.ts";
import { checkChoice, checkInteger, checkName, checkPresent } from "./fields.ts";

/** @throws {InvalidFieldError} */
export function checkModelSpec(field: string, message: proto.ModelSpec | undefined): ModelSpec {
  const { name, perChannelCoefficients, columns, network, ...choices } = checkPresent(field, message, "set");
  const transition = checkChoice(`${field}.transition`, choices.transition, transitions);
  const scheme = checkChoice(`${field}.scheme`, choices.scheme, schemes);
  const activation = checkChoice(`${field}.activation`, choices.activation, activations);
  const shortcut = checkChoice(`${field}.shortcut`, choices.shortcut, shortcuts);
  return {
    name: checkName(`${field}.name`, name),
    ...(transition && { transition }),
    ...(scheme && { scheme }),
    ...(activation && { activation }),
    ...(shortcut && { shortcut }),
    ...(perChannelCoefficients && { perChannelCoefficients }),
    ...(columns > 0 && { columns }),
    ...(network && { network: checkNetworkSpec(`${field}.network`, network) }),
  };
}

/** Its enums; sizes are the models' to check. */
function checkNetworkSpec(field: string, { stem, stemChannels, stages }: proto.NetworkSpec): NetworkSpec {
  return {
    stem: checkChoice(`${field}.stem`, stem, stems) ?? "small",
    stemChannels,
    stages: stages.map(({ block, blocks: count, channels, stride, innerChannels, groups }, s) => ({
      block: checkChoice(`${field}.stages[${s}].block`, block, blocks) ?? "basic",
      blocks: count,
      channels,
      ...(stride > 0 && { stride }),
      ...(innerChannels > 0 && { innerChannels }),
      groups: groups || 1,
    })),
  };
}

type SizeFields = Pick<proto.ImageShape, "height" | "width" | "channels">;

/** @throws {InvalidFieldError} */
export function checkImageSize(field: string, { height, width, channels }: SizeFields): ImageSize {
  return {
    height: checkInteger(`${field}.height`, height, { min: 1, max: MAX_IMAGE_SIDE }),
    width: checkInteger(`${field}.width`, width, { min: 1, max: MAX_IMAGE_SIDE }),
    channels: checkChannels(`${field}.channels`, channels),
  };
}

export function checkChannels(field: string, channels: number): 1 | 3 {
  if (channels === 1 || channels === 3) return channels;
  throw new InvalidFieldError(field, channels, "1 or 3");
}
