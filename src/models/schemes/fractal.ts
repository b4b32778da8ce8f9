import { combine, type Draw, type Graph, type Tensor } from "../../gpu/mod.ts";
import { type ResidualBlock, sameShapeTerm } from "../blocks/block.ts";
import type { Scheme } from "./scheme.ts";

/** More would take 2^columns - 1 terms a block. */
export const MAX_FRACTAL_COLUMNS = 4;

/**
 * A fractal of `columns` columns a block, joined by the mean:
 *
 *   F_1(u) = T(u);  F_{c+1}(u) = (T(u) + F_c(F_c(u))) / 2
 *
 * where every T, 2^columns - 1 of them, is a term of the block with weights of its own. There is no identity, so no
 * consistent scheme of u' = f(u) whatever T is; where T in column c is a step of size 2^(c-1) h (the deepest column's
 * being h), the order is 1, the fractal of two columns resembling a Runge-Kutta scheme of two stages (Lu et al. 2018,
 * section 2). A change of shape is made by the first T of each path, so no step of forward Euler is taken there.
 *
 * Larsson et al. 2017, "FractalNet: Ultra-Deep Neural Networks without Residuals", which joins all columns that end at
 * one place with equal weights; here joins are nested, as the formula says. In training, drop-path may leave inputs of
 * joins out.
 */
export function fractal(columns: number): Scheme {
  return {
    name: `fractal of ${columns} columns`,
    formula: `F_${columns}(u); F_1 = T, F_c+1 = (T + F_c F_c) / 2`,
    steps: 1,
    order: 1,
    source: "Larsson et al. 2017",
    init: (u0) => ({ u: u0, history: [] }),
    takes: columns > 1 ? ["dropPath", "noise"] : ["noise"],
    step: (graph, block, { u }) => ({ u: new Fractal(graph, block, columns).apply(u, columns), history: [] }),
  };
}

/** The terms of one block, named by their column and their place in it: "column2.term0". */
class Fractal {
  readonly #graph: Graph;
  readonly #block: ResidualBlock;
  readonly #columns: number;
  /** Of each column, and of joins. */
  readonly #used: number[] = [];

  constructor(graph: Graph, block: ResidualBlock, columns: number) {
    this.#graph = graph;
    this.#block = block;
    this.#columns = columns;
  }

  /** F_column(u), which drop-path may have as part of a path. */
  apply(u: Tensor, column: number, within?: Draw): Tensor {
    if (column === 1) return this.#term(u, column);
    const [graph, name] = [this.#graph, `${this.#block.name}.u`];
    const weights = this.#block.join?.({ column, columns: this.#columns, within });
    const short = graph.gated(weights?.short, () => this.#term(u, column));
    const path = weights?.long;
    const long = graph.gated(path, () => this.apply(this.apply(u, column - 1, path), column - 1, path));
    if (!weights) return combine(graph, name, [[1 / 2, short], [1 / 2, long]]);
    return combine(graph, name, [[1, short, weights.short], [1, long, weights.long]]);
  }

  #term(u: Tensor, column: number): Tensor {
    const place = this.#used[column] ?? 0;
    this.#used[column] = place + 1;
    const { shape, term } = this.#block;
    const own = place === 0 ? shape : sameShapeTerm(shape.outputChannels);
    return term(`column${column}.term${place}`, own)(u);
  }
}
