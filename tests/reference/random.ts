/** The counter-based generator that keys every draw, in 32-bit integers; written apart from the one under src/. */

export type Words = readonly [x: number, y: number, z: number, w: number];

/**
 * Hashes four u32 to four: `pcg4d` of Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020.
 * The key of a draw is (seed, epoch, example, purpose).
 */
export function pcg4d(key: Words): Words {
  const [x, y, z, w] = mix(scramble(key[0]), scramble(key[1]), scramble(key[2]), scramble(key[3]));
  const [a, b, c, d] = mix(x ^ x >>> 16, y ^ y >>> 16, z ^ z >>> 16, w ^ w >>> 16);
  return [a >>> 0, b >>> 0, c >>> 0, d >>> 0];
}

/** One step of the linear congruential generator of Numerical Recipes. */
function scramble(value: number): number {
  return Math.imul(value, 1664525) + 1013904223 | 0;
}

function mix(x: number, y: number, z: number, w: number): Words {
  x = x + Math.imul(y, w) | 0;
  y = y + Math.imul(z, x) | 0;
  z = z + Math.imul(x, y) | 0;
  w = w + Math.imul(y, z) | 0;
  return [x, y, z, w];
}
