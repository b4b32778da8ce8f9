/**
 * Drop-path (Larsson et al. 2017, "FractalNet", section 3.1): joins take the mean of the inputs that are left.
 *
 * - local: each join loses each of its inputs with a fixed probability, but never both
 * - global: one column is left of the whole network, drawn uniformly for the step
 *
 * What leads to nothing that is left is not computed. Evaluation takes the mean of all inputs.
 */
import { type Draw, type Graph, PURPOSE, type StepKey } from "../../gpu/mod.ts";
import type { DropPath } from "./choices.ts";
import { type BlockPlace, chances } from "./place.ts";

/** A join of a fractal: F_column(u) = the mean of T(u) and F_{column-1}(F_{column-1}(u)). */
export interface Join {
  readonly column: number;
  /** Of the whole fractal. */
  readonly columns: number;
  /** The path that the join is part of, where it is part of another join's. */
  readonly within?: Draw;
}

/** What a join multiplies its inputs by: 0, 1/2 or 1. */
export interface JoinWeights {
  readonly short: Draw;
  readonly long: Draw;
}

/** More than a fractal's joins, so that each join of a network has a number of its own. */
const JOINS_OF_A_BLOCK = 64;
/** Where the step's choice between local and global lies, past all joins. */
const WHOLE_NETWORK = 2 ** 32 - 1;

/** Gives a block's joins their weights, in the order in which they are recorded. */
export function blockJoins(graph: Graph, choices: DropPath, { name, index }: BlockPlace): (join: Join) => JoinWeights {
  let joins = 0;
  return (join) => {
    const place = index * JOINS_OF_A_BLOCK + joins++;
    const draw = (path: "short" | "long") =>
      graph.draw(`${name}.join${place}.${path}`, {
        sample: (key) => join.within?.sample(key) === 0 ? 0 : joinWeights(choices, { ...join, place }, key)[path],
      });
    return { short: draw("short"), long: draw("long") };
  };
}

/** A join's weights in a step in which it is computed. */
export function joinWeights(
  { rate, globalShare }: DropPath,
  { column, columns, place }: Pick<Join, "column" | "columns"> & { readonly place: number },
  key: StepKey,
): Readonly<Record<keyof JoinWeights, number>> {
  const purpose = PURPOSE.dropPath;
  const [kind, chosen] = chances(key, { place: WHOLE_NETWORK, purpose });
  if (kind < globalShare) {
    const isChosen = column === 1 + Math.floor(chosen * columns);
    return isChosen ? { short: 1, long: 0 } : { short: 0, long: 1 };
  }
  const [short, long, rescued] = chances(key, { place, purpose });
  if (short >= rate && long >= rate) return { short: 1 / 2, long: 1 / 2 };
  const isShort = short < rate && long < rate ? rescued < 1 / 2 : short >= rate;
  return isShort ? { short: 1, long: 0 } : { short: 0, long: 1 };
}
