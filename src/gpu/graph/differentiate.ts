import { type Coefficient, isOne, ONE } from "./coefficient.ts";
import type { Graph } from "./graph.ts";
import type { Backward } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

interface Contribution {
  readonly tensor: Tensor;
  readonly coefficient: Coefficient;
}

/** Forms sum(coefficient * tensor); given by ops/, so that graph/ knows no operation. */
export type SumGradients = (
  graph: Graph,
  name: string,
  terms: readonly { readonly tensor: Tensor; readonly coefficient: Coefficient }[],
) => Tensor;

/**
 * Reverse-mode differentiation: walks the recorded operations backwards and
 * lets each record the operations that compute its inputs' gradients.
 *
 * @param cotangents The gradient of the loss by the tensors it starts from.
 * @returns The gradient of each `source` that needs one. Parameters' gradients go to the packed gradient buffer,
 * where the planner sums those of a parameter that several operations use.
 */
export function differentiate(
  graph: Graph,
  cotangents: ReadonlyMap<Tensor, Tensor>,
  sumGradients: SumGradients,
): Map<Tensor, Tensor> {
  const contributions = new Map<Tensor, Contribution[]>();
  const sums = new Map<Tensor, Tensor>();
  for (const [tensor, cotangent] of cotangents) contributions.set(tensor, [{ tensor: cotangent, coefficient: ONE }]);

  const gradientOf = (tensor: Tensor): Tensor | undefined => {
    const known = sums.get(tensor);
    if (known) return known;
    const terms = contributions.get(tensor);
    if (!terms) return undefined;
    // A value of a gate is no value outside of it.
    const [{ tensor: { gate } }] = terms;
    const alone = terms.length === 1 && isOne(terms[0].coefficient) && (!gate || gate === graph.gate);
    const sum = alone ? terms[0].tensor : sumGradients(graph, `d(${tensor.name})`, terms);
    sums.set(tensor, sum);
    return sum;
  };
  const backward: Backward = {
    dOutput: gradientOf,
    accumulate(input, contribution, coefficient = ONE) {
      if (!input.needsGradient) return;
      const terms = contributions.get(input) ?? [];
      terms.push({ tensor: contribution, coefficient });
      contributions.set(input, terms);
    },
    take(tensor) {
      const gradient = gradientOf(tensor);
      contributions.delete(tensor);
      sums.delete(tensor);
      return gradient;
    },
    walk(operations) {
      for (const operation of operations.toReversed()) {
        const needed = [...operation.inputs, ...operation.parameters].some((tensor) => tensor.needsGradient);
        if (needed) graph.gated(graph.gateOf(operation), () => operation.backward?.(backward));
      }
    },
    recomputed: new Map(),
  };
  backward.walk(graph.operations);

  const sources = [...contributions.keys()].filter((tensor) => tensor.role === "source");
  return new Map(sources.map((tensor) => [tensor, gradientOf(tensor) as Tensor]));
}
