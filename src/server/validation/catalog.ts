/** Requests of CatalogService. */
import type { ImageSize } from "../../data/mod.ts";
import type { DescribeModelRequest, ImportDatasetRequest } from "../../gen/mod.ts";
import type { ModelSpec } from "../../models/mod.ts";
import { checkInteger, checkName, checkText } from "./fields.ts";
import { checkImageSize, checkModelSpec } from "./model_spec.ts";

export interface ModelQuestion {
  readonly model: ModelSpec;
  readonly input: ImageSize;
  readonly classes: number;
}

/** @throws {InvalidFieldError} */
export function checkDescribeModel(request: DescribeModelRequest): ModelQuestion {
  return {
    model: checkModelSpec("model", request.model),
    input: request.input ? checkImageSize("input", request.input) : { height: 32, width: 32, channels: 3 },
    classes: checkInteger("classes", request.classes ?? 10, { min: 1, max: 100_000 }),
  };
}

export interface ImportOrder {
  readonly name: string;
  /** Not yet known to be one that the server may read. */
  readonly path: string;
  /** Undefined: the reader's choice. */
  readonly image?: ImageSize;
}

/** @throws {InvalidFieldError} */
export function checkImportDataset(request: ImportDatasetRequest): ImportOrder {
  return {
    name: checkName("name", request.name),
    path: checkText("path", request.path, { min: 1, max: 4096 }),
    image: request.image && checkImageSize("image", request.image),
  };
}
