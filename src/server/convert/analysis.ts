/** Schemes and trained networks as schemes, as messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CheckpointAnalysis } from "../../engine/mod.ts";
import type * as proto from "../../gen/mod.ts";
import type { BlockStep, SchemeDescription } from "../../models/mod.ts";
import { schemes, toModelSpec } from "./model_spec.ts";

export function toSchemeDescription(
  scheme: SchemeDescription,
): MessageInitShape<typeof proto.SchemeDescriptionSchema> {
  const { name, formula, steps, derivative, order, measuredOrder, coefficient, zeroStable, source } = scheme;
  return {
    scheme: schemes[scheme.scheme],
    name,
    formula,
    steps,
    derivative,
    order,
    measuredOrder,
    coefficient,
    characteristicPolynomial: [...scheme.characteristicPolynomial],
    roots: scheme.roots.map(({ real, imaginary }) => ({ real, imaginary })),
    zeroStable,
    source,
  };
}

/** @param checkpoint its path in the data folder */
export function toAnalyzeModelResponse(
  checkpoint: string,
  { model, step, isAverage, scheme, blocks }: CheckpointAnalysis,
): MessageInitShape<typeof proto.AnalyzeModelResponseSchema> {
  return {
    checkpoint,
    trainingStep: step,
    model: toModelSpec(model),
    movingAverage: isAverage,
    scheme: toSchemeDescription(scheme),
    blocks: blocks.map(toBlockStep),
  };
}

function toBlockStep({ name, stage, step, coefficient }: BlockStep): MessageInitShape<typeof proto.BlockStepSchema> {
  return { name, stage, step, k: coefficient && { ...coefficient } };
}
