/** Computes the steps that schemes record in double precision, where the terms are linear maps of images of one pixel. */
import { type Graph, LinearCombination, type Operation, PlaceChannels, type Tensor } from "../../gpu/mod.ts";

export type Matrix = readonly (readonly number[])[];

/** y = M x, a term whose exact solution is known. */
export class LinearMap implements Operation {
  readonly kind = "linear_map";
  readonly description = "linear_map";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  private constructor(x: Tensor, y: Tensor, readonly matrix: Matrix) {
    this.inputs = [x];
    this.outputs = [y];
  }

  static record(graph: Graph, x: Tensor, matrix: Matrix): Tensor {
    const y = graph.value(`M ${x.name}`, x.shape, false);
    graph.record(new LinearMap(x, y, matrix));
    return y;
  }

  lower(): never {
    throw new Error("A linear map is computed on the CPU alone");
  }
}

export interface LinearGraphInputs {
  readonly sources: ReadonlyMap<Tensor, ArrayLike<number>>;
  /** The value of every parameter; each has one element. */
  readonly k: number;
}

/** The value of every tensor. @throws {Error} for an operation that no scheme of linear terms records. */
export function evaluateLinearGraph(graph: Graph, { sources, k }: LinearGraphInputs): Map<Tensor, Float64Array> {
  const values = new Map([...sources].map(([tensor, value]) => [tensor, Float64Array.from(value)]));
  const valueOf = (tensor: Tensor) => {
    const value = values.get(tensor);
    if (!value) throw new Error(`Nothing has computed "${tensor.name}"`);
    return value;
  };
  for (const operation of graph.operations) {
    const [output] = operation.outputs;
    if (operation instanceof LinearMap) {
      const x = valueOf(operation.inputs[0]);
      values.set(output, Float64Array.from(operation.matrix, (row) => row.reduce((sum, m, i) => sum + m * x[i], 0)));
    } else if (operation instanceof LinearCombination) {
      const sum = new Float64Array(valueOf(operation.inputs[0]).length);
      for (const { tensor, coefficient: { constant, slope, parameter } } of operation.terms) {
        const factor = constant + (parameter ? slope * k : 0);
        valueOf(tensor).forEach((value, i) => sum[i] += factor * value);
      }
      values.set(output, sum);
    } else if (operation instanceof PlaceChannels) {
      const x = valueOf(operation.inputs[0]);
      const first = 4 * operation.mapping.shift;
      values.set(output, Float64Array.from({ length: output.shape[3] }, (_, c) => x[c - first] ?? 0));
    } else {
      throw new Error(`Cannot compute "${operation.kind}" on the CPU`);
    }
  }
  return values;
}
