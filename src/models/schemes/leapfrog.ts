import { combine } from "../../gpu/mod.ts";
import { eulerStep } from "./forward_euler.ts";
import type { Scheme } from "./scheme.ts";

/**
 * u_{n+1} = 2 u_n - u_{n-1} + f(u_n), the Stoermer-Verlet (leapfrog) scheme of the second-order equation u'' = f(u),
 * with the squared step size absorbed into f: the linear multi-step scheme with k = -1.
 *
 * Two steps, order 2; stable for -4 < z < 0. It starts from rest, u_1 = u_0 + f(u_0) / 2. Where the shape changes it
 * takes a step of forward Euler, and P(u_n) becomes the history. Chang et al. 2017, "Reversible Architectures for
 * Arbitrarily Deep Residual Neural Networks".
 */
export const leapfrog: Scheme = {
  name: "leapfrog",
  takes: ["depth", "noise"],
  formula: "2 u - u_previous + f(u)",
  steps: 2,
  order: 2,
  derivative: 2,
  source: "Chang et al. 2017",
  init: (u0) => ({ u: u0, history: [] }),
  step(graph, block, { u, history: [previous] }) {
    if (block.project) {
      const { u: next, projected } = eulerStep(graph, block, u);
      return { u: next, history: [projected] };
    }
    const { draw } = block;
    const f = graph.gated(draw, () => block.f(u));
    const name = `${block.name}.u`;
    const next = previous
      ? combine(graph, name, [[2, u], [-1, previous], [1, f, draw]])
      : combine(graph, name, [[1, u], [0.5, f, draw]]);
    return { u: next, history: [u] };
  },
};
