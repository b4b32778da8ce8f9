import type { Graph, Tensor } from "../../gpu/mod.ts";

/** What is integrated: the right-hand side f of u' = f(u), for one step. */
export interface ResidualBlock {
  /** "stage1.block0" */
  readonly name: string;
  /** f(u), of the output's shape. */
  f(u: Tensor): Tensor;
  /** P: brings u to the output's shape; absent where the shape does not change. */
  readonly project?: (u: Tensor) => Tensor;
  /** Q: the same for the step's history, with weights of its own, where a scheme asks for it. */
  readonly projectHistory?: (previous: Tensor) => Tensor;
}

/** Whether normalisation and ReLU come before the convolutions (He et al. 2016b) or after (He et al. 2016a). */
export type Activation = "pre" | "post";

export interface BlockOptions {
  readonly name: string;
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly stride: number;
}

/** What makes the block of one place of a network; it records nothing until the block is used. */
export type BlockFactory = (graph: Graph, options: BlockOptions) => ResidualBlock;
