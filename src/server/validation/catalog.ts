/** Requests of CatalogService. */
import type { ImageSize, SampleOptions } from "../../data/mod.ts";
import type { TrainingConfig } from "../../engine/mod.ts";
import type { DescribeModelRequest, GetDatasetSampleRequest } from "../../gen/mod.ts";
import type { ModelSpec } from "../../models/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { BATCH_SIZES, checkInteger, checkName, checkSplit } from "./fields.ts";
import { checkImageSize, checkModelSpec } from "./model_spec.ts";
import { checkDecay } from "./optimization.ts";
import { checkPrecision } from "./training_config.ts";

export interface ModelQuestion {
  readonly model: ModelSpec;
  /** Undefined: the data set's, or the default. */
  readonly input?: ImageSize;
  readonly classes?: number;
  readonly dataset?: string;
  /** Undefined: the memory is not asked for. */
  readonly batchSize?: number;
  readonly precision: TrainingConfig["precision"];
  /** Undefined: training keeps no moving average. */
  readonly emaDecay?: number;
}

/** @throws {InvalidFieldError} */
export function checkDescribeModel(request: DescribeModelRequest): ModelQuestion {
  const { input, classes, batchSize } = request;
  const dataset = request.dataset === "" ? undefined : checkName("dataset", request.dataset);
  if (dataset !== undefined && input) throw new InvalidFieldError("input", "a size", "left out beside a data set");
  if (dataset !== undefined && classes !== undefined) {
    throw new InvalidFieldError("classes", classes, "left out beside a data set");
  }
  return {
    model: checkModelSpec("model", request.model),
    input: input && checkImageSize("input", input),
    classes: classes === undefined ? undefined : checkInteger("classes", classes, { min: 1, max: 100_000 }),
    dataset,
    batchSize: batchSize === undefined ? undefined : checkInteger("batch_size", batchSize, BATCH_SIZES),
    precision: checkPrecision("precision", request.precision),
    emaDecay: checkDecay("ema_decay", request.emaDecay),
  };
}

/** Of the pixels of all images of an answer, which is one message. */
const maxSampleBytes = 12 * 2 ** 20;

/** @throws {InvalidFieldError} */
export function checkGetDatasetSample(request: GetDatasetSampleRequest): SampleOptions & { readonly name: string } {
  const { imagesPerClass = 8, maxClasses = 50, maxSide = 64 } = request;
  const order = {
    name: checkName("name", request.name),
    split: checkSplit(request.split, "train"),
    perClass: checkInteger("images_per_class", imagesPerClass, { min: 0, max: 32 }),
    maxClasses: checkInteger("max_classes", maxClasses, { min: 1, max: 1000 }),
    maxSide: checkInteger("max_side", maxSide, { min: 8, max: 256 }),
  };
  const pixels = imagesPerClass * maxClasses * 3;
  if (pixels * maxSide ** 2 <= maxSampleBytes) return order;
  const fitting = Math.floor(Math.sqrt(maxSampleBytes / pixels));
  throw new InvalidFieldError(
    "max_side",
    maxSide,
    `at most ${fitting} with ${imagesPerClass} images of ${maxClasses} classes`,
  );
}
