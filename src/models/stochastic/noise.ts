/** Noise on what comes out of each block, in training alone (Lu et al. 2018, section 3.2). */
import { addNoise, type Graph, PURPOSE, type Tensor } from "../../gpu/mod.ts";
import type { NoiseInjection } from "./choices.ts";
import { type BlockPlace, chances } from "./place.ts";

/** u with the block's noise. */
export function recordNoise(graph: Graph, u: Tensor, noise: NoiseInjection, { name, index }: BlockPlace): Tensor {
  if (!graph.options.training) return u;
  const isGaussian = noise.kind === "gaussian" || (noise.kind === "gaussian_then_uniform" && index === 0);
  const salt = graph.draw(`${name}.noise`, {
    sample: (key) => Math.floor(chances(key, { place: index, purpose: PURPOSE.noise })[0] * 2 ** 24),
  });
  const distribution = isGaussian ? "gaussian" : "uniform";
  return addNoise(graph, u, { name: `${name}.noisy`, distribution, sigma: noise.sigma, salt });
}
