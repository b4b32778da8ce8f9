/** ImportModel's request. */
import { CENTER_CROP, type ImageSize } from "../../data/mod.ts";
import type { ImportedNetwork } from "../../engine/mod.ts";
import type { ImportModelRequest } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { checkName, checkSingle, checkText, checkWithin } from "./fields.ts";
import { checkImageSize, checkModelSpec } from "./model_spec.ts";

export interface ModelImportOrder {
  readonly name: string;
  /** Not yet known to be one that the server may read. */
  readonly path: string;
  /** Undefined: the file is a checkpoint, which says itself what its network is. */
  readonly network?: ImportedNetwork;
}

const defaultSize = { height: 32, width: 32, channels: 3 } as const;

/** @throws {InvalidFieldError} */
export function checkImportModel(request: ImportModelRequest): ModelImportOrder {
  const order = {
    name: checkName("name", request.name),
    path: checkText("path", request.path, { min: 1, max: 4096 }),
  };
  if (request.model === undefined) {
    requireAbsent(request, ["dataset", ...imageFields], "left out without a model");
    return order;
  }
  return { ...order, network: { model: checkModelSpec("model", request.model), trainedOn: checkTrainedOn(request) } };
}

/** In place of a data set. */
const imageFields = ["input", "mean", "standardDeviation", "classNames", "centerCrop"] as const;

function checkTrainedOn(request: ImportModelRequest): ImportedNetwork["trainedOn"] {
  if (request.dataset !== "") {
    requireAbsent(request, imageFields, "left out beside a data set");
    return { dataset: checkName("dataset", request.dataset) };
  }
  const size = request.input ? checkImageSize("input", request.input) : defaultSize;
  const { mean, standardDeviation, classNames, centerCrop } = request;
  const deviations = checkChannelValues("standard_deviation", standardDeviation, size, checkSingle);
  return {
    ...size,
    mean: checkChannelValues("mean", mean, size) ?? Array(size.channels).fill(0),
    standardDeviation: deviations ?? Array(size.channels).fill(1),
    ...(classNames.length > 0 && { classNames: checkClassNames(classNames) }),
    ...(centerCrop && { preprocessing: CENTER_CROP }),
  };
}

function checkClassNames(names: readonly string[]): readonly string[] {
  return names.map((name, i) => {
    checkText(`class_names[${i}]`, name, { min: 1, max: 256 });
    if (names.indexOf(name) === i) return name;
    throw new InvalidFieldError(`class_names[${i}]`, name, "a name that no class before has");
  });
}

function requireAbsent(
  request: ImportModelRequest,
  fields: readonly ("dataset" | (typeof imageFields)[number])[],
  allowed: string,
): void {
  for (const field of fields) {
    const value = request[field];
    if (value === undefined || value === "" || value === false || (Array.isArray(value) && value.length === 0)) {
      continue;
    }
    throw new InvalidFieldError(protoName(field), "a value", allowed);
  }
}

function protoName(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** One number a channel; undefined: none were given. */
function checkChannelValues(
  field: string,
  values: readonly number[],
  { channels }: ImageSize,
  check: (field: string, value: number) => number = checkMean,
): readonly number[] | undefined {
  if (values.length === 0) return undefined;
  if (values.length !== channels) {
    throw new InvalidFieldError(field, `${values.length} numbers`, `one number for each of ${channels} channels`);
  }
  return values.map((value, i) => check(`${field}[${i}]`, value));
}

/** Of values that were scaled to 0..1; any that 32-bit floats compute with. */
function checkMean(field: string, value: number): number {
  return checkWithin(field, value, { min: -1e6, max: 1e6 });
}
