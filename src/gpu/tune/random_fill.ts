import type { GpuDevice } from "../device/mod.ts";

/** Scalars of the pattern: a prime, so that rows and images do not repeat each other. */
const LENGTH = 262_139;

/** Fills buffers with values of [-1/2, 1/2), other ones in every buffer. */
export class RandomFill {
  readonly #pattern: Float32Array<ArrayBuffer>;
  #state = 0x2545f491;

  constructor() {
    this.#pattern = Float32Array.from({ length: LENGTH }, () => this.#next() / 2 ** 32 - 0.5);
  }

  write(device: GpuDevice, buffer: GPUBuffer): void {
    let from = this.#next() % LENGTH;
    for (let at = 0; at < buffer.size;) {
      const part = this.#pattern.subarray(from, from + (buffer.size - at) / 4);
      device.handle.queue.writeBuffer(buffer, at, part);
      at += part.byteLength;
      from = 0;
    }
  }

  /** Knuth and Lewis's linear congruential generator: its high bits are random enough for timing. */
  #next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state;
  }
}
