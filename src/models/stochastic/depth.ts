/**
 * Stochastic depth (Huang et al. 2016, "Deep Networks with Stochastic Depth"): each block is dropped by chance, with one
 * draw a block and batch. A scheme's linear terms stay, so a dropped step of the linear multi-step scheme is
 *
 *   u_{n+1} = (1 - k_n) u_n + k_n u_{n-1}
 *
 * and of forward Euler u_{n+1} = u_n, or P(u_n) where the shape changes (Lu et al. 2018, section 3.2).
 */
import { type Draw, type Graph, PURPOSE, type StepKey } from "../../gpu/mod.ts";
import type { StochasticDepth } from "./choices.ts";
import { type BlockPlace, chances } from "./place.ts";

/** p of a block. */
export function survivalProbability(
  { survival, rule }: Pick<StochasticDepth, "survival" | "rule">,
  { index, blocks }: Pick<BlockPlace, "index" | "blocks">,
): number {
  const depth = rule === "zero_based" ? index / Math.max(1, blocks - 1) : (index + 1) / blocks;
  return 1 - depth * (1 - survival);
}

/** Whether a block survives in a step. */
export function survives(key: StepKey, index: number, probability: number): boolean {
  return chances(key, { place: index, purpose: PURPOSE.stochasticDepth })[0] < probability;
}

/** What a block's increment is multiplied by; undefined where that is always 1. */
export function recordSurvival(graph: Graph, depth: StochasticDepth, place: BlockPlace): Draw | undefined {
  const probability = survivalProbability(depth, place);
  if (probability === 1) return undefined;
  const name = `${place.name}.survival`;
  if (!graph.options.training) {
    return depth.scaling === "test" ? graph.draw(name, { sample: () => probability }) : undefined;
  }
  const factor = depth.scaling === "training" ? 1 / probability : 1;
  return graph.draw(name, {
    isBinary: factor === 1,
    sample: (key) => survives(key, place.index, probability) ? factor : 0,
  });
}
