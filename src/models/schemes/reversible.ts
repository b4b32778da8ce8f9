import { combine, type Graph, placeChannels, reversibleStep, type Tensor } from "../../gpu/mod.ts";
import { sameShapeTerm } from "../blocks/block.ts";
import { ModelError } from "../errors.ts";
import { eulerStep } from "./forward_euler.ts";
import type { Scheme, SchemeState } from "./scheme.ts";

/**
 * The halves X and Y of u's channels step in turn:
 *
 *   X_{n+1} = X_n + f(Y_n);  Y_{n+1} = Y_n + g(X_{n+1})
 *
 * with the inverse Y_n = Y_{n+1} - g(X_{n+1}), X_n = X_{n+1} - f(Y_n). One step, order 1: symplectic Euler for the system
 * X' = f(Y), Y' = g(X), stable for |z| < 2 where f(Y) = z Y and g(X) = -z X. f and g are terms of the block at half its
 * channels. A block that changes the shape takes a step of forward Euler with all channels, which is not reversible:
 * training keeps the activations of those blocks and of one reversible step, whatever the depth. Noise after a step would
 * have to be computed again too.
 *
 * Gomez et al. 2017, "The Reversible Residual Network: Backpropagation Without Storing Activations".
 */
export const reversible: Scheme = {
  name: "reversible",
  takes: [],
  formula: "x + f(y), then y + g(x)",
  steps: 1,
  order: 1,
  source: "Gomez et al. 2017",
  init: (u0) => ({ u: u0, history: [] }),
  step(graph, block, state) {
    const { name } = block;
    if (block.project) return { u: eulerStep(graph, block, join(graph, `${name}.joined`, state)).u, history: [] };
    const [x, y] = halves(graph, name, state);
    const shape = sameShapeTerm(x.shape[3]);
    const next = reversibleStep(graph, name, { x, y, f: block.term("f", shape), g: block.term("g", shape) });
    return { u: next.x, history: [next.y] };
  },
  solution: (graph, state) => join(graph, "head.joined", state),
};

/** X and Y, which lie in a state's history between steps; u itself where a change of shape came before. */
function halves(graph: Graph, name: string, { u, history: [y] }: SchemeState): [x: Tensor, y: Tensor] {
  if (y) return [u, y];
  const channels = u.shape[3] / 2;
  if (channels % 4 !== 0) {
    throw new ModelError(
      `Cannot step "${name}" reversibly: its ${u.shape[3]} channels must be a multiple of 8, to be split in halves`,
    );
  }
  return [
    placeChannels(graph, u, { name: `${name}.x0`, channels }),
    placeChannels(graph, u, { name: `${name}.y0`, channels, offset: -channels }),
  ];
}

function join(graph: Graph, name: string, { u, history: [y] }: SchemeState): Tensor {
  if (!y) return u;
  const half = u.shape[3];
  const place = (x: Tensor, offset: number) => placeChannels(graph, x, { name, channels: 2 * half, offset });
  return combine(graph, name, [[1, place(u, 0)], [1, place(y, half)]]);
}
