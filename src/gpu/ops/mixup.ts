/**
 * Mixup (Zhang et al. 2018): a batch's images are blended pairwise, (1 - share) x + share x', and the loss in the same
 * shares. The partner is the image before in the batch, which was shuffled, as in torchvision's reference training.
 */
import { pcg4d, PURPOSE } from "./random.ts";

/**
 * The partner's share of a step: drawn from Beta(alpha, alpha), as one of Gamma(alpha) by the sum of two; in logarithms,
 * for a small alpha's lie below the range of numbers.
 */
export function mixupShare(alpha: number, key: { readonly seed: number; readonly step: number }): number {
  const draw = uniformDraws(key);
  return 1 / (1 + Math.exp(logGamma(alpha, draw) - logGamma(alpha, draw)));
}

/** The logarithm of a draw from Gamma(alpha): Marsaglia and Tsang, ACM TOMS 26(3), 2000; for below 1 their section 6. */
function logGamma(alpha: number, draw: () => number): number {
  if (alpha < 1) return logGamma(alpha + 1, draw) + Math.log(draw()) / alpha;
  const d = alpha - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  while (true) {
    const x = normal(draw);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(draw()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d * v);
  }
}

/** Box and Muller 1958. */
function normal(draw: () => number): number {
  return Math.sqrt(-2 * Math.log(draw())) * Math.cos(2 * Math.PI * draw());
}

/** Uniform in (0, 1), as many as are asked for. */
function uniformDraws({ seed, step }: { readonly seed: number; readonly step: number }): () => number {
  let words: number[] = [];
  let next = 0;
  return () => {
    if (words.length === 0) words = pcg4d(seed, step, next++, PURPOSE.mixup);
    return ((words.shift() ?? 0) + 0.5) / 2 ** 32;
  };
}
