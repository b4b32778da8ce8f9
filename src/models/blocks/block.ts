import type { Draw, Graph, Tensor } from "../../gpu/mod.ts";
import type { Join, JoinWeights } from "../stochastic/drop_path.ts";

/** A right-hand side f of u' = f(u). Calling it again uses the same weights again. */
export type Term = (u: Tensor) => Tensor;

/** What a term maps: images of one number of channels to another, with the stride between their sizes. */
export interface TermShape {
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly stride: number;
}

/** What a scheme takes of chance, a block; absent where nothing is left to it. */
export interface BlockChance {
  /** Of stochastic depth: what the step's increment is multiplied by, which is left out where it is 0. */
  readonly draw?: Draw;
  /** Of drop-path: what a join multiplies its inputs by, which are left out where it is 0. */
  readonly join?: (join: Join) => JoinWeights;
  /** Of shake-shake: what two branches are multiplied by. */
  readonly mixture?: () => readonly [Draw, Draw];
}

/** What is integrated in one step. */
export interface ResidualBlock extends BlockChance {
  /** "stage1.block0" */
  readonly name: string;
  /** Of f; f(u) has the output's shape. */
  readonly shape: TermShape;
  readonly f: Term;
  /** P: brings u to the output's shape; absent where the shape does not change. */
  readonly project?: (u: Tensor) => Tensor;
  /** Q: the same for the step's history, with weights of its own, where a scheme asks for it. */
  readonly projectHistory?: (previous: Tensor) => Tensor;
  /**
   * A term made like f, with weights of its own under `<block>.<name>`, for schemes that take several.
   * @throws {ModelError} when the block cannot be made in that shape.
   */
  term(name: string, shape: TermShape): Term;
}

/** Whether normalisation and ReLU come before the convolutions (He et al. 2016b) or after (He et al. 2016a). */
export type Activation = "pre" | "post";

export interface BlockOptions extends TermShape {
  readonly name: string;
}

/** What makes the block of one place of a network; it records nothing until the block is used. */
export type BlockFactory = (graph: Graph, options: BlockOptions) => ResidualBlock;

/** Of a term that changes nothing. */
export function sameShapeTerm(channels: number): TermShape {
  return { inputChannels: channels, outputChannels: channels, stride: 1 };
}
