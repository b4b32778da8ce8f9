/** Evaluations and predictions, as messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EvaluationEvent } from "../../engine/mod.ts";
import type * as proto from "../../gen/mod.ts";

export function toEvaluateResponse(event: EvaluationEvent): MessageInitShape<typeof proto.EvaluateResponseSchema> {
  if (event.kind === "progress") {
    const { imagesDone, imagesTotal } = event;
    return { kind: { case: "progress", value: { imagesDone, imagesTotal } } };
  }
  const { metrics, classNames, confusion, imagesPerSecond } = event.result;
  const matrix = { classNames: [...classNames], counts: [...confusion] };
  return { kind: { case: "result", value: { metrics, confusion: matrix, imagesPerSecond } } };
}

/**
 * The most probable classes, the first the most; of equal ones the lower index first.
 * @param probabilities one an image's class
 * @param topK cut to the number of classes
 */
export function toPrediction(
  probabilities: Float32Array,
  classNames: readonly string[],
  topK: number,
): MessageInitShape<typeof proto.PredictionSchema> {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  return {
    top: order.slice(0, topK).map((classIndex) => ({
      classIndex,
      className: classNames[classIndex],
      probability: probabilities[classIndex],
    })),
  };
}
