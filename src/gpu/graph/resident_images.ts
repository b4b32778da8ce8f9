/** A split of a data set in GPU memory, and the assembly of batches from it. */
import { wgsl } from "../../wgsl/mod.ts";
import type { GpuDevice } from "../device/mod.ts";
import { createDispatch, type Dispatch, recordDispatches } from "./dispatch.ts";
import type { Execution } from "./execution.ts";
import type { BufferHandle, Kernel, Target } from "./kernel.ts";

export interface ResidentImagesSize {
  readonly count: number;
  readonly imageBytes: number;
}

/** What a program takes a batch in: pixels [N, H, W, C] as bytes, N labels and N examples as `u32`. */
export interface BatchInputs {
  readonly pixels: BufferHandle;
  readonly labels: BufferHandle;
  readonly examples: BufferHandle;
}

/** Rows of a batch: `count` images from `start` on in the order that was written last. */
export interface BatchRows {
  readonly start: number;
  readonly count: number;
}

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
/** The driver keeps what is written until the next submit. */
const UPLOAD_BYTES = 16 * 2 ** 20;
const RANGE_BYTES = 16;
/** Sizes of buffers are multiples of it. */
const PADDING = 16;

/** Examples from `first` to before `end`, in one buffer. */
interface Part {
  readonly first: number;
  readonly end: number;
  readonly bytes: number;
}

/** Bytes of GPU memory that the images take with their labels and an order. */
export function residentBytes(size: ResidentImagesSize, target: Target): number {
  return partsOf(size, target).reduce((sum, { bytes }) => sum + bytes, 0) + 2 * wordBytes(size.count);
}

/** As few buffers as the adapter can bind. */
function partsOf({ count, imageBytes }: ResidentImagesSize, { maxStorageBindingBytes }: Target): Part[] {
  const imagesAPart = Math.floor(Math.floor(maxStorageBindingBytes / PADDING) * PADDING / imageBytes);
  const parts: Part[] = [];
  for (let first = 0; first < count; first += imagesAPart) {
    const end = Math.min(count, first + imagesAPart);
    parts.push({ first, end, bytes: padded((end - first) * imageBytes) });
  }
  return parts;
}

export class ResidentImages {
  readonly #device: GpuDevice;
  readonly #size: ResidentImagesSize;
  readonly #parts: readonly (Part & { readonly buffer: GPUBuffer })[];
  readonly #labels: GPUBuffer;
  readonly #order: GPUBuffer;
  readonly #claim: Disposable;

  private constructor(device: GpuDevice, size: ResidentImagesSize) {
    this.#device = device;
    this.#size = size;
    this.#parts = partsOf(size, device.target).map((part, i) => {
      return { ...part, buffer: device.createBuffer(`images ${i}`, part.bytes, USAGE) };
    });
    this.#labels = device.createBuffer("labels of all images", wordBytes(size.count), USAGE);
    this.#order = device.createBuffer("order of images", wordBytes(size.count), USAGE);
    this.#claim = device.claim(residentBytes(size, device.target));
  }

  /**
   * Uploads images: `count` x height x width x channels bytes, `count` labels.
   * @throws {GpuError} `out-of-memory` when the GPU refuses a buffer.
   */
  static async create(
    device: GpuDevice,
    images: { readonly count: number; readonly pixels: Uint8Array; readonly labels: Uint32Array },
  ): Promise<ResidentImages> {
    const { count, pixels, labels } = images;
    const size = { count, imageBytes: pixels.length / count };
    const resident = await device.allocate(() => new ResidentImages(device, size));
    for (const { first, end, buffer } of resident.#parts) {
      resident.#upload(buffer, pixels.subarray(first * size.imageBytes, end * size.imageBytes));
    }
    device.handle.queue.writeBuffer(resident.#labels, 0, labels.slice());
    return resident;
  }

  /** Puts the images into an order, which steps submitted from now on take them by. */
  writeOrder(order: Uint32Array<ArrayBuffer>): void {
    this.#device.handle.queue.writeBuffer(this.#order, 0, order);
  }

  /**
   * Makes what fills a program's inputs with batches of up to `batch` images.
   * @throws {GpuError} when the shader or a binding is refused.
   */
  async gather(execution: Execution, inputs: BatchInputs, batch: number): Promise<BatchGather> {
    const range = this.#device.createBuffer("rows of the batch", RANGE_BYTES, GPUBufferUsage.UNIFORM | USAGE);
    const dispatches: Dispatch[] = [];
    const gather = new BatchGather(this.#device, range, dispatches);
    try {
      for (const part of this.#parts) {
        const buffers = new Map<number, GPUBuffer>();
        const bind = (buffer: GPUBuffer): BufferHandle => {
          buffers.set(buffers.size, buffer);
          return { id: buffers.size - 1, label: buffer.label, bytes: buffer.size };
        };
        const kernel = this.#kernel(part, batch, [
          { buffer: bind(part.buffer), access: "read" },
          { buffer: bind(this.#labels), access: "read" },
          { buffer: bind(this.#order), access: "read" },
          { buffer: bind(range), access: "uniform" },
          { buffer: bind(execution.input(inputs.pixels)), access: "read_write" },
          { buffer: bind(execution.input(inputs.labels)), access: "read_write" },
          { buffer: bind(execution.input(inputs.examples)), access: "read_write" },
        ]);
        dispatches.push(await createDispatch(this.#device, kernel, ({ id }) => buffers.get(id) as GPUBuffer));
      }
      return gather;
    } catch (error) {
      gather.destroy();
      throw error;
    }
  }

  destroy(): void {
    for (const { buffer } of this.#parts) buffer.destroy();
    this.#labels.destroy();
    this.#order.destroy();
    this.#claim[Symbol.dispose]();
  }

  #kernel({ first, end }: Part, batch: number, bindings: Kernel["bindings"]): Kernel {
    const { imageBytes } = this.#size;
    const workgroups = Math.ceil(Math.max(batch, batch * imageBytes / 4) / 64);
    const rows = Math.ceil(workgroups / this.#device.target.maxWorkgroupsPerDimension);
    const columns = Math.ceil(workgroups / rows);
    return {
      label: "gather_images",
      code: wgsl.gatherImages,
      constants: { BATCH: batch, IMAGE_BYTES: imageBytes, FIRST: first, END: end, ROW: columns * 64 },
      bindings,
      workgroups: [columns, rows, 1],
    };
  }

  #upload(buffer: GPUBuffer, bytes: Uint8Array): void {
    const { queue } = this.#device.handle;
    for (let start = 0; start < bytes.length; start += UPLOAD_BYTES) {
      const chunk = bytes.subarray(start, start + UPLOAD_BYTES);
      const whole = new Uint8Array(Math.ceil(chunk.length / 4) * 4);
      whole.set(chunk);
      queue.writeBuffer(buffer, start, whole);
      queue.submit([]);
    }
  }
}

/** Fills one program's inputs from resident images; of a step it takes the few bytes that tell which. */
export class BatchGather {
  readonly #device: GpuDevice;
  readonly #range: GPUBuffer;
  readonly #dispatches: readonly Dispatch[];

  constructor(device: GpuDevice, range: GPUBuffer, dispatches: readonly Dispatch[]) {
    this.#device = device;
    this.#range = range;
    this.#dispatches = dispatches;
  }

  /** Tells which rows; once before each `encode`. */
  write({ start, count }: BatchRows): void {
    this.#device.handle.queue.writeBuffer(this.#range, 0, Uint32Array.of(start, count));
  }

  /** Records the assembly of the batch, before the step that takes it. */
  encode(encoder: GPUCommandEncoder): void {
    const pass = encoder.beginComputePass();
    recordDispatches(pass, this.#dispatches);
    pass.end();
  }

  destroy(): void {
    this.#range.destroy();
    for (const { release } of this.#dispatches) release();
  }
}

function wordBytes(count: number): number {
  return padded(count * 4);
}

function padded(bytes: number): number {
  return Math.ceil(bytes / PADDING) * PADDING;
}
