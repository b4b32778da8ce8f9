import type { Normalisation } from "./dataset.ts";

/**
 * Mean and standard deviation a channel, from histograms of the 256 byte values: exact whole numbers until the very
 * end, so the result depends on neither order nor chunking.
 */
export class ChannelStatistics {
  readonly #counts: Float64Array[];

  /** @param histograms to go on from */
  constructor(channels: number, histograms?: readonly (readonly number[])[]) {
    this.#counts = Array.from(
      { length: channels },
      (_, i) => Float64Array.from(histograms?.[i] ?? new Array(256).fill(0)),
    );
  }

  /** How often each byte value occurs, a channel. */
  get histograms(): number[][] {
    return this.#counts.map((counts) => [...counts]);
  }

  /** @param pixels channels last */
  add(pixels: Uint8Array): void {
    const channels = this.#counts.length;
    this.#counts.forEach((counts, channel) => {
      for (let i = channel; i < pixels.length; i += channels) counts[pixels[i]]++;
    });
  }

  /** A constant channel has no deviation to divide by; it gets one byte step. */
  result(): Normalisation {
    const mean: number[] = [];
    const standardDeviation: number[] = [];
    for (const counts of this.#counts) {
      const pixels = counts.reduce((sum, count) => sum + count, 0);
      const average = counts.reduce((sum, count, value) => sum + count * value, 0) / pixels;
      const variance = counts.reduce((sum, count, value) => sum + count * (value - average) ** 2, 0) / pixels;
      mean.push(average / 255);
      standardDeviation.push(Math.max(Math.sqrt(variance), 1) / 255);
    }
    return { mean, standardDeviation };
  }
}
