import { residualAdd } from "../../gpu/mod.ts";
import type { Scheme } from "./scheme.ts";

/**
 * u_{n+1} = P(u_n) + f(u_n), with P the identity where the shape stays.
 *
 * One step, order 1. Residual networks are its realisation (Weinan E 2017; Lu et al. 2018, section 2).
 */
export const forwardEuler: Scheme = {
  name: "forward Euler",
  init: (u0) => ({ u: u0, history: [] }),
  step(graph, block, { u }) {
    const current = block.project?.(u) ?? u;
    return { u: residualAdd(graph, `${block.name}.u`, current, block.f(u)), history: [] };
  },
};
