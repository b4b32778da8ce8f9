import type { Graph, Tensor } from "../../gpu/mod.ts";
import type { Activation, BlockOptions, ResidualBlock, Term, TermShape } from "./block.ts";
import { type ConvLayer, convolutions } from "./layers.ts";
import { recordShortcut, type Shortcut } from "./shortcut.ts";

/** What the kinds of blocks have in common. */
export interface BlockStyle {
  readonly activation: Activation;
  /** Default projection. */
  readonly shortcut?: Shortcut;
}

export interface ConvolutionBlockOptions extends BlockOptions, BlockStyle {
  /** The convolutions of a term of a shape. */
  readonly layers: (shape: TermShape) => readonly ConvLayer[];
}

/** A block whose terms are convolutions in a row. */
export function convolutionBlock(graph: Graph, options: ConvolutionBlockOptions): ResidualBlock {
  const { name, inputChannels, outputChannels, stride, layers, activation, shortcut = "projection" } = options;
  const shape = { inputChannels, outputChannels, stride };
  const term = (prefix: string, shape: TermShape) =>
    withSharedWeights(graph, (u) => convolutions(graph, u, { prefix, layers: layers(shape), activation }));
  const block = {
    name,
    shape,
    f: term(name, shape),
    term: (suffix: string, shape: TermShape) => term(`${name}.${suffix}`, shape),
  };
  if (inputChannels === outputChannels && stride === 1) return block;
  return {
    ...block,
    project: (u) => recordShortcut(graph, u, { name: `${name}.projection`, shape, shortcut, activation }),
    projectHistory: (previous) =>
      recordShortcut(graph, previous, { name: `${name}.history_projection`, shape, shortcut, activation: "pre" }),
  };
}

/** The first call records the weights, the others use them again. */
function withSharedWeights(graph: Graph, record: Term): Term {
  let recorded = false;
  return (u: Tensor) => {
    if (recorded) return graph.reusing(() => record(u));
    recorded = true;
    return record(u);
  };
}
