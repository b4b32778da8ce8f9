import { lmStep, residualAdd } from "../../gpu/mod.ts";
import type { Transition } from "../spec.ts";
import type { Scheme } from "./scheme.ts";

export interface LinearMultistepOptions {
  /**
   * - `plain`: a block that changes the shape takes an Euler step, u_{n+1} = P(u_n) + f(u_n)
   * - `project_both`: it takes the multi-step step, with the history projected by weights of its own
   */
  readonly transition: Transition;
  /** Whether weight decay applies to k; default true. */
  readonly decay?: boolean;
}

/**
 * u_{n+1} = (1 - k_n) u_n + k_n u_{n-1} + f(u_n), with one trainable scalar k_n a block.
 *
 * Two steps; order 1, and 2 where k = 1 and f is scaled by 2 (the midpoint rule); zero-stable for -1 < k <= 1.
 * k starts from U[-0.1, 0] and is not clamped. The first block of a network has no history and takes an Euler step.
 * Where a block projects, u_n stands for P(u_n), also as the next block's history.
 * Lu et al. 2018, equation 3 and the authors' code.
 */
export function linearMultistep({ transition, decay = true }: LinearMultistepOptions): Scheme {
  return {
    name: "linear multi-step",
    init: (u0) => ({ u: u0, history: [] }),
    step(graph, block, { u, history: [previous] }) {
      const current = block.project?.(u) ?? u;
      const f = block.f(u);
      const name = `${block.name}.u`;
      if (!previous || (block.project && transition === "plain")) {
        return { u: residualAdd(graph, name, current, f), history: [current] };
      }
      const projected = block.projectHistory?.(previous) ?? previous;
      const k = graph.parameter(`${block.name}.k`, [1], {
        initializer: { kind: "uniform", low: -0.1, high: 0 },
        decay,
      });
      return { u: lmStep(graph, name, { u: current, previous: projected, f, k }), history: [current] };
    },
  };
}
