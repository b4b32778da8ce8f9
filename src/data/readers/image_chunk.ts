import type { LabelledImages } from "../dataset.ts";

/** Gathers single images. */
export class ImageChunk {
  #pixels: Uint8Array;
  #labels: Uint32Array;
  #count = 0;

  constructor(readonly capacity: number, readonly bytes: number) {
    this.#pixels = new Uint8Array(capacity * bytes);
    this.#labels = new Uint32Array(capacity);
  }

  get isFull(): boolean {
    return this.#count === this.capacity;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  add(pixels: Uint8Array, label: number): void {
    this.#pixels.set(pixels, this.#count * this.bytes);
    this.#labels[this.#count++] = label;
  }

  /** What was gathered, copied; the chunk is empty afterwards. */
  take(): LabelledImages {
    const count = this.#count;
    this.#count = 0;
    return { count, pixels: this.#pixels.slice(0, count * this.bytes), labels: this.#labels.slice(0, count) };
  }
}
