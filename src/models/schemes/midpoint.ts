import { combine } from "../../gpu/mod.ts";
import { eulerStep } from "./forward_euler.ts";
import type { Scheme } from "./scheme.ts";

/**
 * u_{n+1} = u_{n-1} + 2 f(u_n), the explicit midpoint (leapfrog) rule: the linear multi-step scheme with k = 1.
 *
 * Two steps, order 2; stable for |z| < 1 on the imaginary axis alone. The first step, and that after a change of
 * shape, has no history and is forward Euler's. Chang et al. 2017, "Reversible Architectures for Arbitrarily Deep
 * Residual Neural Networks".
 */
export const midpoint: Scheme = {
  name: "midpoint",
  takes: ["depth", "noise"],
  formula: "u_previous + 2 f(u)",
  steps: 2,
  order: 2,
  source: "Chang et al. 2017",
  init: (u0) => ({ u: u0, history: [] }),
  step(graph, block, { u, history: [previous] }) {
    if (!previous || block.project) {
      const { u: next, projected } = eulerStep(graph, block, u);
      return { u: next, history: [projected] };
    }
    const f = graph.gated(block.draw, () => block.f(u));
    return { u: combine(graph, `${block.name}.u`, [[1, previous], [2, f, block.draw]]), history: [u] };
  },
};
