import { combine, type Graph, type Tensor } from "../../gpu/mod.ts";
import type { ResidualBlock } from "../blocks/block.ts";
import type { Scheme } from "./scheme.ts";

/**
 * u_{n+1} = P(u_n) + f(u_n), with P the identity where the shape stays.
 *
 * One step, order 1; stable for |1 + z| <= 1. Residual networks are its realisation (Weinan E 2017; Lu et al. 2018,
 * section 2).
 */
export const forwardEuler: Scheme = {
  name: "forward Euler",
  takes: ["depth", "noise"],
  formula: "u + f(u)",
  steps: 1,
  order: 1,
  source: "Lu et al. 2018",
  init: (u0) => ({ u: u0, history: [] }),
  step: (graph, block, { u }) => ({ u: eulerStep(graph, block, u).u, history: [] }),
};

/** One step of forward Euler, and P(u): what stands for u in the history of the next step. */
export function eulerStep(graph: Graph, block: ResidualBlock, u: Tensor): { u: Tensor; projected: Tensor } {
  const projected = block.project?.(u) ?? u;
  const f = graph.gated(block.draw, () => block.f(u));
  return { u: combine(graph, `${block.name}.u`, [[1, projected], [1, f, block.draw]]), projected };
}
