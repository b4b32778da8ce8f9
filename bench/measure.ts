/** What every benchmark prints: one JSON object a line. */
export interface Measurement {
  readonly benchmark: string;
  readonly case: string;
  readonly median: number;
  readonly unit: string;
  readonly runs: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly adapter: string;
  /** Figures of this benchmark alone, by JSON name. */
  readonly details?: Readonly<Record<string, number | string>>;
}

/** Summarises samples of one case. */
export function summarise(
  samples: readonly number[],
  about: Pick<Measurement, "benchmark" | "case" | "unit" | "adapter" | "details">,
): Measurement {
  return {
    ...about,
    median: median(samples),
    runs: samples.length,
    minimum: Math.min(...samples),
    maximum: Math.max(...samples),
  };
}

/** The middle one, or the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Random bytes, the same in every run. */
export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const next = generator(0x9e3779b9);
  return Uint8Array.from({ length: count }, () => next() >>> 24);
}

/** Random values from -1 to below 1, the same in every run. */
export function randomFloats(count: number, seed = 0x2545f491): Float32Array<ArrayBuffer> {
  const next = generator(seed);
  return Float32Array.from({ length: count }, () => next() / 2 ** 31 - 1);
}

/** A linear congruential generator of 32 bits (Numerical Recipes). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
}
