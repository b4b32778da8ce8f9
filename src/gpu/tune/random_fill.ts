import type { ElementType } from "../../wgsl/mod.ts";
import type { GpuDevice } from "../device/mod.ts";

/** Scalars of the pattern: twice a prime, so that rows and images do not repeat each other. */
const LENGTH = 2 * 131_071;

/** Fills buffers with values of [-1/2, 1/2), other ones in every buffer. */
export class RandomFill {
  readonly #patterns: Readonly<Record<ElementType, Float32Array<ArrayBuffer> | Float16Array<ArrayBuffer>>>;
  #state = 0x2545f491;

  constructor() {
    const f32 = Float32Array.from({ length: LENGTH }, () => this.#next() / 2 ** 32 - 0.5);
    this.#patterns = { f32, f16: Float16Array.from(f32) };
  }

  write(device: GpuDevice, buffer: GPUBuffer, elementType: ElementType): void {
    const pattern = this.#patterns[elementType];
    // Even, as is the pattern's length: what is written at once is whole words.
    let from = 2 * (this.#next() % (LENGTH / 2));
    for (let at = 0; at < buffer.size;) {
      const part = pattern.subarray(from, from + (buffer.size - at) / pattern.BYTES_PER_ELEMENT);
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
