import { lmStep } from "../../gpu/mod.ts";
import type { Transition } from "../spec.ts";
import { eulerStep } from "./forward_euler.ts";
import type { Scheme } from "./scheme.ts";

export interface LinearMultistepOptions {
  /**
   * - `plain`: a block that changes the shape takes an Euler step, u_{n+1} = P(u_n) + f(u_n)
   * - `project_both`: it takes the multi-step step, with the history projected by weights of its own
   */
  readonly transition: Transition;
  /** Whether every channel has a k of its own; default false. */
  readonly perChannel?: boolean;
}

/**
 * u_{n+1} = (1 - k_n) u_n + k_n u_{n-1} + f(u_n), with one trainable scalar k_n a block, or one a channel.
 *
 * Two steps; order 1, and 2 where k = 1 and f is scaled by 2 (the midpoint rule); zero-stable for -1 < k <= 1.
 * k starts from U[-0.1, 0] and is not clamped. The first block of a network has no history and takes an Euler step.
 * Where a block projects, u_n stands for P(u_n), also as the next block's history.
 * Lu et al. 2018, equation 3 and the authors' code.
 */
export function linearMultistep({ transition, perChannel = false }: LinearMultistepOptions): Scheme {
  return {
    name: "linear multi-step",
    takes: ["depth", "noise"],
    formula: "(1 - k) u + k u_previous + f(u)",
    steps: 2,
    order: 1,
    source: "Lu et al. 2018",
    init: (u0) => ({ u: u0, history: [] }),
    step(graph, block, { u, history: [previous] }) {
      if (!previous || (block.project && transition === "plain")) {
        const { u: next, projected } = eulerStep(graph, block, u);
        return { u: next, history: [projected] };
      }
      const current = block.project?.(u) ?? u;
      const f = graph.gated(block.draw, () => block.f(u));
      const projected = block.projectHistory?.(previous) ?? previous;
      const k = graph.parameter(`${block.name}.k`, [perChannel ? block.shape.outputChannels : 1], {
        initializer: { kind: "uniform", low: -0.1, high: 0 },
        role: "coefficient",
      });
      const terms = { u: current, previous: projected, f, k, draw: block.draw };
      return { u: lmStep(graph, `${block.name}.u`, terms), history: [current] };
    },
  };
}
