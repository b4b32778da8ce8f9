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
}

/** Summarises samples of one case. */
export function summarise(
  samples: readonly number[],
  about: Pick<Measurement, "benchmark" | "case" | "unit" | "adapter">,
): Measurement {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { ...about, median, runs: sorted.length, minimum: sorted[0], maximum: sorted[sorted.length - 1] };
}

/** Random bytes, the same in every run. */
export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  let state = 0x9e3779b9;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
