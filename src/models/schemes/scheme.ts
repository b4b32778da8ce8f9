import type { Graph, Tensor } from "../../gpu/mod.ts";
import type { ResidualBlock } from "../blocks/block.ts";
import type { StochasticTraining } from "../stochastic/choices.ts";

/** A kind of chance in training; see stochastic/choices.ts. */
export type ChanceKind = keyof StochasticTraining;

/** Where a scheme stands: the solution and what it remembers of earlier steps. */
export interface SchemeState {
  readonly u: Tensor;
  /** Newest first; empty at the start, and for one-step schemes. */
  readonly history: readonly Tensor[];
}

/**
 * How to step: a numerical method for u' = f(u), with step size absorbed into f. Where the shape changes, there is no
 * f(f(u)) and no history of that shape: unless its docstring says otherwise, a scheme takes a step of forward Euler
 * there, u_{n+1} = P(u_n) + f(u_n), and starts again.
 */
export interface Scheme {
  /** "forward Euler", "linear multi-step" */
  readonly name: string;
  /** A step, as a formula. */
  readonly formula: string;
  /** How many of the solutions before it a step uses. */
  readonly steps: 1 | 2;
  /** With which power of the step size h the error at a fixed time falls. */
  readonly order: number;
  /** Of the equation that is stepped: 2 for u'' = f(u). Default 1. */
  readonly derivative?: 1 | 2;
  /** Author and year; the docstring has the title. */
  readonly source: string;
  /**
   * The chance that it has a place for. `depth`: a step is terms that are linear in u and its history and one increment
   * of f, which it records under the block's draw and multiplies by that.
   */
  readonly takes: readonly ChanceKind[];
  init(u0: Tensor): SchemeState;
  step(graph: Graph, block: ResidualBlock, state: SchemeState): SchemeState;
  /** What the network goes on with after the last step, where it is not the state's u. */
  solution?(graph: Graph, state: SchemeState): Tensor;
}
