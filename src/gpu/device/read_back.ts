import { GpuError } from "../errors.ts";
import type { GpuDevice } from "./gpu_device.ts";

/**
 * Reads GPU buffers through a ring of staging buffers.
 *
 * Deno 2.9.3 polls the device to the end inside `mapAsync` and then lets its promise sleep for 10 ms. A staging buffer
 * that has been mapped once can therefore be read at once after `mapAsync`, without awaiting it. That is an accident of
 * the implementation: it is proved against an awaited read when the ring is made, and not used when the proof fails.
 */
export class ReadBackRing {
  readonly #device: GpuDevice;
  readonly #staging: readonly GPUBuffer[];
  readonly #immediate: boolean;
  #next = 0;

  private constructor(device: GpuDevice, staging: readonly GPUBuffer[], immediate: boolean) {
    this.#device = device;
    this.#staging = staging;
    this.#immediate = immediate;
  }

  /**
   * @param bytes Of the largest read, a multiple of 4.
   * @param depth Reads that may be outstanding.
   */
  static async create(device: GpuDevice, { bytes, depth }: { bytes: number; depth: number }): Promise<ReadBackRing> {
    const size = Math.max(16, bytes);
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const staging = Array.from({ length: depth }, (_, i) => device.createBuffer(`staging ${i}`, size, usage));
    try {
      for (const buffer of staging) {
        await buffer.mapAsync(GPUMapMode.READ);
        buffer.unmap();
      }
      return new ReadBackRing(device, staging, await provesImmediate(device, staging[0]));
    } catch (cause) {
      throw unreadable(device, cause);
    }
  }

  /** Records a copy; the ticket reads it after the commands were submitted. At most `depth` tickets may be unread. */
  copy(encoder: GPUCommandEncoder, source: GPUBuffer, bytes: number): ReadBackTicket {
    const slot = this.#next;
    this.#next = (this.#next + 1) % this.#staging.length;
    encoder.copyBufferToBuffer(source, 0, this.#staging[slot], 0, bytes);
    return { slot, bytes };
  }

  /**
   * Waits for the GPU and returns the bytes of a ticket.
   * @throws {GpuError} when the device failed.
   */
  async read({ slot, bytes }: ReadBackTicket): Promise<ArrayBuffer> {
    const staging = this.#staging[slot];
    try {
      const mapped = staging.mapAsync(GPUMapMode.READ, 0, bytes);
      // The promise settles later, as aborted by unmap; nothing waits for it.
      if (this.#immediate) mapped.catch(() => {});
      else await mapped;
      const content = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      return content;
    } catch (cause) {
      throw unreadable(this.#device, cause);
    }
  }

  destroy(): void {
    for (const buffer of this.#staging) buffer.destroy();
  }
}

export interface ReadBackTicket {
  readonly slot: number;
  readonly bytes: number;
}

/** What the device has told, if anything; otherwise the loss, which it may tell later. */
function unreadable({ failure }: GpuDevice, cause: unknown): GpuError {
  return failure ?? new GpuError("lost", "The GPU device was lost: nothing can be read from it", { cause });
}

async function provesImmediate(device: GpuDevice, staging: GPUBuffer): Promise<boolean> {
  const source = device.createBuffer("read-back proof", 16, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
  try {
    for (let round = 1; round <= 3; round++) {
      const pattern = Uint32Array.of(round, ~round, round * 0x01010101, 0x5eed);
      device.handle.queue.writeBuffer(source, 0, pattern);
      const encoder = device.handle.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, staging, 0, 16);
      device.handle.queue.submit([encoder.finish()]);
      const mapped = staging.mapAsync(GPUMapMode.READ, 0, 16);
      mapped.catch(() => {});
      try {
        const words = new Uint32Array(staging.getMappedRange(0, 16).slice(0));
        if (words.some((word, i) => word !== pattern[i])) return false;
      } catch (error) {
        if (!(error instanceof DOMException)) throw error;
        await mapped;
        return false;
      } finally {
        staging.unmap();
      }
    }
    return true;
  } finally {
    source.destroy();
  }
}
