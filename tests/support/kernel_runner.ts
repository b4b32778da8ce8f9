/** Runs kernels by themselves, without a graph: buffers by handle, every one poisoned with NaN until it is written. */
import type { GpuDevice } from "../../src/gpu/mod.ts";
import { ReadBackRing } from "../../src/gpu/mod.ts";
import type { BufferHandle, Candidate, Kernel, ScratchAllocator } from "../../src/gpu/graph/kernel.ts";

export class KernelRunner implements ScratchAllocator {
  readonly #device: GpuDevice;
  readonly #buffers = new Map<number, GPUBuffer>();

  constructor(device: GpuDevice) {
    this.#device = device;
  }

  allocate(label: string, bytes: number): BufferHandle {
    const id = this.#buffers.size;
    const size = Math.ceil(bytes / 16) * 16;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = this.#device.createBuffer(label, size, usage);
    this.#buffers.set(id, buffer);
    // All bits set is a NaN in f32 and in f16.
    this.#device.handle.queue.writeBuffer(buffer, 0, new Uint8Array(size).fill(0xff));
    return { id, label, bytes: size };
  }

  scratch(label: string, bytes: number): BufferHandle {
    return this.allocate(label, bytes);
  }

  packed(label: string, bytes: number): BufferHandle {
    return this.allocate(label, bytes);
  }

  choose(_key: string, [first]: readonly Candidate[]): Candidate {
    return first;
  }

  write(handle: BufferHandle, data: ArrayBufferView<ArrayBuffer>): void {
    this.#device.handle.queue.writeBuffer(this.#buffer(handle), 0, data);
  }

  async run(kernels: readonly Kernel[]): Promise<void> {
    const { handle } = this.#device;
    for (const kernel of kernels) {
      const { pipeline, release } = await this.#device.pipelines.lease(kernel);
      const group = handle.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: kernel.bindings.map(({ buffer, offset = 0, size = buffer.bytes - offset }, binding) => ({
          binding,
          resource: { buffer: this.#buffer(buffer), offset, size },
        })),
      });
      const encoder = handle.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...kernel.workgroups);
      pass.end();
      handle.queue.submit([encoder.finish()]);
      release();
    }
  }

  async read(handle: BufferHandle): Promise<ArrayBuffer> {
    const ring = await ReadBackRing.create(this.#device, { bytes: handle.bytes, depth: 1 });
    const encoder = this.#device.handle.createCommandEncoder();
    const ticket = ring.copy(encoder, this.#buffer(handle), handle.bytes);
    this.#device.handle.queue.submit([encoder.finish()]);
    const bytes = await ring.read(ticket);
    ring.destroy();
    this.#device.check();
    return bytes;
  }

  close(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
  }

  #buffer(handle: BufferHandle): GPUBuffer {
    const buffer = this.#buffers.get(handle.id);
    if (!buffer) throw new Error(`Cannot find the buffer "${handle.label}"`);
    return buffer;
  }
}
