import type { Draw } from "./draw.ts";
import type { ParameterRange } from "./kernel.ts";
import type { Operation } from "./operation.ts";
import { PARAMETER_ALIGNMENT } from "./packing.ts";
import type { Tensor } from "./tensor.ts";

/** A part of the packed gradients, in bytes, that nobody may have written in steps in which a draw is 0. */
export interface GatedGradients {
  readonly draw: Draw;
  readonly offset: number;
  readonly size: number;
}

/**
 * What has to be zeroed where operations are left out: their parameters' gradients, neighbours as one part.
 * @param gradientOf Where the gradient of a parameter lies.
 */
export function gatedGradients(
  operations: readonly Operation[],
  gates: ReadonlyMap<Operation, Draw>,
  gradientOf: (parameter: Tensor) => ParameterRange,
): GatedGradients[] {
  const written = new Map<Draw, Set<Tensor>>();
  for (const operation of operations) {
    const draw = gates.get(operation);
    if (!draw) continue;
    const parameters = written.get(draw) ?? new Set();
    operation.parameterGradients?.forEach((parameter) => parameters.add(parameter));
    written.set(draw, parameters);
  }
  return [...written].flatMap(([draw, parameters]) => {
    const ranges = [...parameters].map(gradientOf).sort((a, b) => a.offset - b.offset);
    const parts: { draw: Draw; offset: number; size: number }[] = [];
    for (const { offset, length } of ranges) {
      const size = Math.ceil(length * 4 / PARAMETER_ALIGNMENT) * PARAMETER_ALIGNMENT;
      const before = parts.at(-1);
      if (before && before.offset + before.size === offset) before.size += size;
      else parts.push({ draw, offset, size });
    }
    return parts;
  });
}
