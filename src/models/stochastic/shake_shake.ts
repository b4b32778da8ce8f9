/**
 * Shake-shake (Gastaldi 2017, "Shake-Shake regularization"), with one draw a block and batch that forward and backward
 * pass share: u + eta f(u) + (1 - eta) g(u), eta from U(0, 1); in evaluation 1/2 for each (Lu et al. 2018, section 3.2).
 * A block that changes the shape has one branch, which stays whole.
 */
import { type Draw, type Graph, PURPOSE, type StepKey } from "../../gpu/mod.ts";
import { type BlockPlace, chances } from "./place.ts";

/** eta of a block in a step. */
export function mixingFactor(key: StepKey, index: number): number {
  return chances(key, { place: index, purpose: PURPOSE.shakeShake })[0];
}

/** What the two branches of a block are multiplied by. */
export function recordMixture(graph: Graph, { name, index }: BlockPlace): [Draw, Draw] {
  const eta = (key: StepKey) => graph.options.training ? mixingFactor(key, index) : 1 / 2;
  return [
    graph.draw(`${name}.eta`, { sample: eta }),
    graph.draw(`${name}.rest`, { sample: (key) => 1 - eta(key) }),
  ];
}
