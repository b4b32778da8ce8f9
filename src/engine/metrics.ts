import type { Metrics } from "./messages.ts";

/** Sums cross-entropy results into means, in double precision. */
export class MetricSums {
  #loss = 0;
  #top1 = 0;
  #top5 = 0;
  #images = 0;

  /** Adds the rows (loss, rank, predicted, 0) of `count` images; a rank of -1 does not count. */
  add(results: Float32Array, count: number): void {
    for (let row = 0; row < count; row++) {
      const rank = results[row * 4 + 1];
      if (rank < 0) continue;
      this.#loss += results[row * 4];
      this.#top1 += rank < 1 ? 1 : 0;
      this.#top5 += rank < 5 ? 1 : 0;
      this.#images++;
    }
  }

  get means(): Metrics {
    const images = Math.max(1, this.#images);
    return {
      loss: this.#loss / images,
      top1: this.#top1 / images,
      top5: this.#top5 / images,
      images: this.#images,
    };
  }
}

/** Images a second over the last few seconds. */
export class Speedometer {
  readonly #marks: { readonly time: number; readonly images: number }[];
  #images = 0;

  constructor(now: number) {
    this.#marks = [{ time: now, images: 0 }];
  }

  /** @param now In milliseconds. */
  add(images: number, now: number): number {
    this.#images += images;
    this.#marks.push({ time: now, images: this.#images });
    while (this.#marks.length > 2 && now - this.#marks[0].time > 10_000) this.#marks.shift();
    const first = this.#marks[0];
    return (this.#images - first.images) / Math.max(1e-3, (now - first.time) / 1000);
  }
}
