import { elementCount, normals, uniforms, type Variable } from "../gpu/mod.ts";

/** Draws the initial value of each variable from its initializer; the same seed gives the same bits. */
export function initialValues(variables: readonly Variable[], seed: number): Map<string, Float32Array<ArrayBuffer>> {
  return new Map(variables.map((variable, index) => [variable.tensor.name, initialValue(variable, { seed, index })]));
}

function initialValue({ tensor, initializer }: Variable, key: { seed: number; index: number }) {
  const count = elementCount(tensor.shape);
  switch (initializer.kind) {
    case "constant":
      return new Float32Array(count).fill(initializer.value);
    case "normal":
      return Float32Array.from(normals(count, key), (value) => value * initializer.standardDeviation);
    case "uniform": {
      const { low, high } = initializer;
      return Float32Array.from(uniforms(count, key), (value) => low + (high - low) * value);
    }
  }
}
