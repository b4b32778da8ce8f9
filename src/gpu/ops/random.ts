/**
 * Random numbers from a counter: a draw depends on its key alone, so that a resumed run repeats the uninterrupted one.
 */

/**
 * Keeps the draws of different uses apart. The numbers are part of what a seed means: never change one. A random resized
 * crop has sixteen, one a try.
 */
export const PURPOSE = {
  augmentation: 1,
  shuffle: 2,
  initialisation: 3,
  stochasticDepth: 16,
  dropPath: 17,
  shakeShake: 18,
  noise: 19,
  mixup: 24,
  cutout: 25,
  erasing: 26,
  erasingNoise: 27,
  randomResizedCrop: 64,
} as const;

/**
 * Four `u32` from a four-word key. Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020;
 * decode_images.wgsl has the same on the GPU.
 */
export function pcg4d(a: number, b: number, c: number, d: number): [number, number, number, number] {
  const mix = (value: number) => (Math.imul(value, 1664525) + 1013904223) | 0;
  let [x, y, z, w] = [mix(a), mix(b), mix(c), mix(d)];
  x = (x + Math.imul(y, w)) | 0;
  y = (y + Math.imul(z, x)) | 0;
  z = (z + Math.imul(x, y)) | 0;
  w = (w + Math.imul(y, z)) | 0;
  x ^= x >>> 16;
  y ^= y >>> 16;
  z ^= z >>> 16;
  w ^= w >>> 16;
  x = (x + Math.imul(y, w)) | 0;
  y = (y + Math.imul(z, x)) | 0;
  z = (z + Math.imul(x, y)) | 0;
  w = (w + Math.imul(y, z)) | 0;
  return [x >>> 0, y >>> 0, z >>> 0, w >>> 0];
}

/** A random permutation of 0 .. count - 1 (Fisher-Yates), keyed by seed and epoch. */
export function permutation(count: number, { seed, epoch }: { seed: number; epoch: number }): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const [draw] = pcg4d(seed, epoch, i, PURPOSE.shuffle);
    const j = Math.floor(draw / 2 ** 32 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Draws for the initial value of the `index`th parameter: uniform in [0, 1), element by element. */
export function uniforms(count: number, { seed, index }: { seed: number; index: number }): Float64Array {
  const values = new Float64Array(count);
  for (let i = 0; i < count; i += 4) {
    const draws = pcg4d(seed, index, i, PURPOSE.initialisation);
    for (let lane = 0; lane < 4 && i + lane < count; lane++) values[i + lane] = draws[lane] / 2 ** 32;
  }
  return values;
}

/** Standard normal draws (Box and Muller 1958). */
export function normals(count: number, key: { seed: number; index: number }): Float64Array {
  const pairs = Math.ceil(count / 2);
  const draws = uniforms(pairs * 2, key);
  const values = new Float64Array(pairs * 2);
  for (let i = 0; i < pairs; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - draws[2 * i]));
    const angle = 2 * Math.PI * draws[2 * i + 1];
    values[2 * i] = radius * Math.cos(angle);
    values[2 * i + 1] = radius * Math.sin(angle);
  }
  return values.subarray(0, count);
}
