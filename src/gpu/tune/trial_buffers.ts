/** Buffers by a plan's handles, counted in the device's memory budget as those of a run are. */
import type { GpuDevice } from "../device/mod.ts";
import type { BufferHandle } from "../graph/kernel.ts";

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;

export class TrialBuffers {
  readonly #device: GpuDevice;
  readonly #buffers = new Map<BufferHandle, GPUBuffer>();
  readonly #claims: Disposable[] = [];

  constructor(device: GpuDevice) {
    this.#device = device;
  }

  create(handle: BufferHandle): GPUBuffer {
    const buffer = this.#device.createBuffer(handle.label, handle.bytes, USAGE);
    this.#claims.push(this.#device.claim(handle.bytes));
    this.#buffers.set(handle, buffer);
    return buffer;
  }

  has(handle: BufferHandle): boolean {
    return this.#buffers.has(handle);
  }

  get(handle: BufferHandle): GPUBuffer {
    const buffer = this.#buffers.get(handle);
    if (!buffer) throw new Error(`Cannot find a buffer for "${handle.label}"`);
    return buffer;
  }

  destroy(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    for (const claim of this.#claims) claim[Symbol.dispose]();
    this.#buffers.clear();
    this.#claims.length = 0;
  }
}
