/**
 * X' = X + f(Y); Y' = Y + g(X'), whose backward pass computes X and Y from X' and Y' again instead of keeping what f and
 * g computed (Gomez et al. 2017, algorithm 1):
 *
 *   Y = Y' - g(X');  X = X' - f(Y)
 *   dX = dX' + g'(X')^T dY';  dY = dY' + f'(Y)^T dX
 *
 * So a chain of steps keeps the activations of one. X and Y come back up to rounding, which images of f16 would turn into
 * errors that grow from step to step: in mixed precision activations are kept.
 */
import type { Graph } from "../graph/graph.ts";
import type { Backward, Operation } from "../graph/operation.ts";
import type { Tensor } from "../graph/tensor.ts";
import { combine } from "./linear_combination.ts";

export interface ReversibleTerms {
  readonly x: Tensor;
  readonly y: Tensor;
  /** Every call records the term on its argument, with the same parameters. */
  f(y: Tensor): Tensor;
  g(x: Tensor): Tensor;
}

/** Records one step; returns X' and Y'. */
export function reversibleStep(graph: Graph, name: string, terms: ReversibleTerms): { x: Tensor; y: Tensor } {
  const x = combine(graph, `${name}.x`, [[1, terms.x], [1, terms.f(terms.y)]]);
  const y = combine(graph, `${name}.y`, [[1, terms.y], [1, terms.g(x)]]);
  const { training, precision } = graph.options;
  if (training && precision !== "mixed") graph.record(new Inversion(graph, name, { terms, x, y }));
  return { x, y };
}

/** Stands after a step to take its gradient over; it computes nothing in the forward pass. */
class Inversion implements Operation {
  readonly kind = "reversible_step";
  readonly description = "reversible step";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs = [];

  constructor(
    readonly graph: Graph,
    readonly name: string,
    readonly step: { readonly terms: ReversibleTerms; readonly x: Tensor; readonly y: Tensor },
  ) {
    this.inputs = [step.x, step.y];
  }

  lower(): [] {
    return [];
  }

  backward(gradients: Backward): void {
    const { graph, name, step: { terms, x, y } } = this;
    const [dNextX, dNextY] = [gradients.take(x), gradients.take(y)];
    // What the step after this one has computed again.
    const [endX, endY] = [x, y].map((end) => gradients.recomputed.get(end) ?? end);

    const g = this.#again(() => terms.g(endX));
    const startY = combine(graph, `${name}.y again`, [[1, endY], [-1, g.output]]);
    if (dNextY) gradients.accumulate(g.output, dNextY);
    gradients.walk(g.operations);
    if (dNextX) gradients.accumulate(endX, dNextX);
    const dX = gradients.take(endX);

    const f = this.#again(() => terms.f(startY));
    const startX = combine(graph, `${name}.x again`, [[1, endX], [-1, f.output]]);
    if (dX) gradients.accumulate(f.output, dX);
    gradients.walk(f.operations);
    if (dNextY) gradients.accumulate(startY, dNextY);
    const dY = gradients.take(startY);

    gradients.recomputed.set(terms.x, startX).set(terms.y, startY);
    if (dX) gradients.accumulate(terms.x, dX);
    if (dY) gradients.accumulate(terms.y, dY);
  }

  #again(record: () => Tensor): { output: Tensor; operations: readonly Operation[] } {
    const first = this.graph.operations.length;
    const output = this.graph.recomputing(record);
    return { output, operations: this.graph.operations.slice(first) };
  }
}
