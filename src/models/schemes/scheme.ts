import type { Graph, Tensor } from "../../gpu/mod.ts";
import type { ResidualBlock } from "../blocks/block.ts";

/** Where a scheme stands: the solution and what it remembers of earlier steps. */
export interface SchemeState {
  readonly u: Tensor;
  /** Newest first; empty at the start, and for one-step schemes. */
  readonly history: readonly Tensor[];
}

/** How to step: a numerical method for u' = f(u), with step size absorbed into f. */
export interface Scheme {
  /** "forward Euler", "linear multi-step" */
  readonly name: string;
  init(u0: Tensor): SchemeState;
  step(graph: Graph, block: ResidualBlock, state: SchemeState): SchemeState;
}
