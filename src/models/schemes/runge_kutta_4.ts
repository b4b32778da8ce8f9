import { combine, type Graph, type Tensor } from "../../gpu/mod.ts";
import type { ResidualBlock } from "../blocks/block.ts";
import { eulerStep } from "./forward_euler.ts";
import type { Scheme } from "./scheme.ts";

/**
 * The classical Runge-Kutta scheme, its four stages with the weights of one f:
 *
 *   f_1 = f(u_n);  f_2 = f(u_n + f_1 / 2);  f_3 = f(u_n + f_2 / 2);  f_4 = f(u_n + f_3)
 *   u_{n+1} = u_n + (f_1 + 2 f_2 + 2 f_3 + f_4) / 6
 *
 * One step, order 4; stable to z = -2.79 on the real axis. A step applies f four times, so batch norm's running
 * statistics move four times. Kutta 1901; Chen et al. 2018, "Neural Ordinary Differential Equations", for networks.
 */
export const rungeKutta4: Scheme = {
  name: "Runge-Kutta 4",
  takes: ["depth", "noise"],
  formula: "u + (f_1 + 2 f_2 + 2 f_3 + f_4) / 6",
  steps: 1,
  order: 4,
  source: "Kutta 1901",
  init: (u0) => ({ u: u0, history: [] }),
  step(graph, block, { u }) {
    if (block.project) return { u: eulerStep(graph, block, u).u, history: [] };
    const { name, draw } = block;
    const [f1, f2, f3, f4] = graph.gated(draw, () => slopes(graph, block, u));
    const next = combine(graph, `${name}.u`, [
      [1, u],
      [1 / 6, f1, draw],
      [1 / 3, f2, draw],
      [1 / 3, f3, draw],
      [1 / 6, f4, draw],
    ]);
    return { u: next, history: [] };
  },
};

/** f_1 to f_4. */
function slopes(graph: Graph, { name, f }: ResidualBlock, u: Tensor): [Tensor, Tensor, Tensor, Tensor] {
  const f1 = f(u);
  const f2 = f(combine(graph, `${name}.u2`, [[1, u], [1 / 2, f1]]));
  const f3 = f(combine(graph, `${name}.u3`, [[1, u], [1 / 2, f2]]));
  const f4 = f(combine(graph, `${name}.u4`, [[1, u], [1, f3]]));
  return [f1, f2, f3, f4];
}
