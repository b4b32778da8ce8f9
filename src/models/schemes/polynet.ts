import { combine, type Draw, type Tensor } from "../../gpu/mod.ts";
import type { ResidualBlock } from "../blocks/block.ts";
import { eulerStep } from "./forward_euler.ts";
import type { Scheme } from "./scheme.ts";

/**
 * The modules of PolyNet (Zhang et al. 2017, "PolyNet: A Pursuit of Structural Diversity in Very Deep Networks"):
 *
 * - poly-2: u + F(u) + F(F(u)), one F
 * - poly-3: u + F(u) + F(F(u)) + F(F(F(u))), one F
 * - mpoly-2: u + F(u) + G(F(u)), with G's weights its own
 * - 2-way: u + F(u) + G(u)
 *
 * One step, order 1. (I - F)^{-1} = I + F + F^2 + ... is a step of backward Euler, which poly-2 and poly-3 truncate
 * (Lu et al. 2018, section 2); being explicit they are stable where |1 + z + z^2| <= 1, |1 + z + z^2 + z^3| <= 1.
 */
export const poly2: Scheme = polynet("poly-2", "u + f(u) + f(f(u))", ({ f }, u) => {
  const first = f(u);
  return [[first], [f(first)]];
});

/** u + F(u) + F(F(u)) + F(F(F(u))); see poly2. */
export const poly3: Scheme = polynet("poly-3", "u + f(u) + f(f(u)) + f(f(f(u)))", ({ f }, u) => {
  const first = f(u);
  const second = f(first);
  return [[first], [second], [f(second)]];
});

/** u + F(u) + G(F(u)); see poly2. */
export const mpoly2: Scheme = polynet("mpoly-2", "u + f(u) + g(f(u))", (block, u) => {
  const first = block.f(u);
  return [[first], [block.term("g", block.shape)(first)]];
});

/** u + F(u) + G(u), or u + eta F(u) + (1 - eta) G(u) of shake-shake; see poly2. */
export const twoWay: Scheme = {
  ...polynet("2-way", "u + f(u) + g(u)", (block, u) => {
    const [eta, rest] = block.mixture?.() ?? [];
    return [[block.f(u), eta], [block.term("g", block.shape)(u), rest]];
  }),
  takes: ["depth", "shakeShake", "noise"],
};

type Increment = readonly [value: Tensor, draw?: Draw];

/** @param increments What a step adds to u, each times its own draw, or the block's. */
function polynet(
  name: string,
  formula: string,
  increments: (block: ResidualBlock, u: Tensor) => readonly Increment[],
): Scheme {
  return {
    name,
    takes: ["depth", "noise"],
    formula,
    steps: 1,
    order: 1,
    source: "Zhang et al. 2017",
    init: (u0) => ({ u: u0, history: [] }),
    step(graph, block, { u }) {
      if (block.project) return { u: eulerStep(graph, block, u).u, history: [] };
      const { draw } = block;
      const terms = graph.gated(draw, () => increments(block, u))
        .map(([tensor, own = draw]) => [1, tensor, own] as const);
      return { u: combine(graph, `${block.name}.u`, [[1, u], ...terms]), history: [] };
    },
  };
}
