/** ModelSpec and ImageShape. Which names there are is the models' to say. */
import { type ImageSize, MAX_IMAGE_SIDE } from "../../data/mod.ts";
import * as proto from "../../gen/mod.ts";
import type { ModelSpec } from "../../models/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { checkEnum, checkInteger, checkName, checkPresent } from "./fields.ts";

const transitions = {
  [proto.Transition.UNSPECIFIED]: undefined,
  [proto.Transition.PLAIN]: "plain",
  [proto.Transition.PROJECT_BOTH]: "project_both",
} as const;

/** @throws {InvalidFieldError} */
export function checkModelSpec(field: string, message: proto.ModelSpec | undefined): ModelSpec {
  const { name, transition } = checkPresent(field, message, "set");
  const allowed = "TRANSITION_PLAIN (1), TRANSITION_PROJECT_BOTH (2), or left out";
  const checked = checkEnum(`${field}.transition`, transition, transitions, allowed);
  return { name: checkName(`${field}.name`, name), ...(checked && { transition: checked }) };
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
