import { combine } from "../../gpu/mod.ts";
import type { Scheme } from "./scheme.ts";

const GAMMA = 0.9;

/**
 * v_{n+1} = gamma v_n + (1 - gamma) f(u_n); u_{n+1} = u_n + v_{n+1}, with gamma = 0.9 and v_0 = 0: the momentum residual
 * network. Since v_n = u_n - u_{n-1}, it is the linear multi-step scheme with k = -gamma and f scaled by 1 - gamma:
 *
 *   u_{n+1} = (1 + gamma) u_n - gamma u_{n-1} + (1 - gamma) f(u_n)
 *
 * Two steps, order 1; zero-stable for 0 <= gamma < 1. Where the shape changes, P(u_n) stands for u_n and v starts from 0
 * again. Sander et al. 2021, "Momentum Residual Neural Networks".
 */
export const momentum: Scheme = {
  name: "momentum",
  takes: ["depth", "noise"],
  formula: `(1 + g) u - g u_previous + (1 - g) f(u), g = ${GAMMA}`,
  steps: 2,
  order: 1,
  source: "Sander et al. 2021",
  init: (u0) => ({ u: u0, history: [] }),
  step(graph, block, { u, history: [previous] }) {
    const current = block.project?.(u) ?? u;
    const { draw } = block;
    const f = graph.gated(draw, () => block.f(u));
    const name = `${block.name}.u`;
    const next = previous && !block.project
      ? combine(graph, name, [[1 + GAMMA, current], [-GAMMA, previous], [1 - GAMMA, f, draw]])
      : combine(graph, name, [[1, current], [1 - GAMMA, f, draw]]);
    return { u: next, history: [current] };
  },
};
