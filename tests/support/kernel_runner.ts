/** Runs lowered kernels on this machine's adapter: what tests and benchmarks need of a device, and no more. */
import type {
  Binding,
  BufferHandle,
  ImageBuffer,
  Kernel,
  ParameterRange,
  ScratchAllocator,
  Target,
} from "../../src/gpu/graph/kernel.ts";

/** A quiet NaN with a payload: an element that still holds it was never written. */
export const POISON_BITS = 0x7fc0dead;

const STORAGE_USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC |
  GPUBufferUsage.COPY_DST;

/** The sizes of an activation's layout, in vec4s. */
function imageSizes(image: { height: number; width: number; channels: number; halo: number }) {
  const quads = Math.ceil(image.channels / 4);
  const pitch = (image.width + 2 * image.halo) * quads;
  return { quads, pitch, perImage: (image.height + 2 * image.halo) * pitch };
}

export class KernelRunner implements ScratchAllocator {
  readonly adapterName: string;
  /** What the adapter offers, as software Vulkan. */
  readonly target: Target;
  readonly #device: GPUDevice;
  readonly #buffers = new Map<number, GPUBuffer>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #nextId = 1;
  #uncaptured: string | undefined;

  private constructor(adapter: GPUAdapter, device: GPUDevice) {
    const { info, limits } = adapter;
    this.adapterName = info.description || info.device || info.vendor;
    this.#device = device;
    this.target = {
      software: /llvmpipe|lavapipe|swiftshader/i.test(`${info.device} ${info.description} ${info.vendor}`),
      maxUniformBindingBytes: limits.maxUniformBufferBindingSize,
      maxStorageBindingBytes: limits.maxStorageBufferBindingSize,
      maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      maxInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    };
    device.addEventListener("uncapturederror", (event) => {
      this.#uncaptured ??= (event as GPUUncapturedErrorEvent).error.message;
    });
  }

  /** @throws Error if there is no adapter. */
  static async create(): Promise<KernelRunner> {
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) throw new Error("Cannot find a GPU adapter: install a Vulkan driver, for example Mesa's");
    const limits = adapter.limits;
    const device = await adapter.requestDevice({
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxUniformBufferBindingSize: limits.maxUniformBufferBindingSize,
        maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
        maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      },
    });
    return new KernelRunner(adapter, device);
  }

  /** A buffer of `bytes`, filled with poison. */
  buffer(label: string, bytes: number): BufferHandle {
    const rounded = Math.ceil(bytes / 16) * 16;
    const buffer = this.#device.createBuffer({ label, size: rounded, usage: STORAGE_USAGE, mappedAtCreation: true });
    new Uint32Array(buffer.getMappedRange()).fill(POISON_BITS);
    buffer.unmap();
    const handle = { id: this.#nextId++, label, bytes: rounded };
    this.#buffers.set(handle.id, buffer);
    return handle;
  }

  scratch(label: string, bytes: number): BufferHandle {
    return this.buffer(label, bytes);
  }

  packed(label: string, bytes: number): BufferHandle {
    return this.buffer(label, bytes);
  }

  write(handle: BufferHandle, data: Float32Array<ArrayBuffer>): void {
    this.#device.queue.writeBuffer(this.#gpuBuffer(handle), 0, data);
  }

  /** Uploads logical NHWC values with a halo of zeros and padding channels of zeros. */
  image(
    label: string,
    shape: { batch: number; height: number; width: number; channels: number; halo: number },
    values: ArrayLike<number>,
  ): ImageBuffer {
    const { quads, pitch, perImage } = imageSizes(shape);
    const { batch, height, width, channels, halo } = shape;
    const data = new Float32Array(batch * perImage * 4);
    let from = 0;
    for (let n = 0; n < batch; n++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const to = (n * perImage + (y + halo) * pitch + (x + halo) * quads) * 4;
          for (let c = 0; c < channels; c++) data[to + c] = values[from++];
        }
      }
    }
    const handle = this.buffer(label, data.byteLength);
    this.write(handle, data);
    return { buffer: handle, height, width, channels, halo };
  }

  /** An image whose every element is poison. */
  poisonedImage(
    label: string,
    shape: { batch: number; height: number; width: number; channels: number; halo: number },
  ): ImageBuffer {
    const { height, width, channels, halo } = shape;
    const buffer = this.buffer(label, shape.batch * imageSizes(shape).perImage * 16);
    return { buffer, height, width, channels, halo };
  }

  /** A parameter placed at a byte offset of its own, as the packed parameter buffer places it; poison without values. */
  parameter(label: string, length: number, values?: Float32Array): ParameterRange {
    const offset = 256;
    const bytes = offset + Math.ceil(length * 4 / 256) * 256;
    const handle = this.buffer(label, bytes);
    if (values) {
      const data = new Float32Array(bytes / 4);
      data.set(values, offset / 4);
      this.write(handle, data);
    }
    return { buffer: handle, offset, length };
  }

  /** Reads an image back as logical NHWC. @throws Error if a padding channel is not zero or the halo was written. */
  async readImage(image: ImageBuffer, batch: number): Promise<Float32Array> {
    const { quads, pitch, perImage } = imageSizes(image);
    const raw = await this.read(image.buffer);
    const bits = new Uint32Array(raw.buffer);
    const logical = new Float32Array(batch * image.height * image.width * image.channels);
    let to = 0;
    for (let index = 0; index < batch * perImage * 4; index++) {
      const channel = index % (quads * 4);
      const x = Math.floor((index % (pitch * 4)) / (quads * 4)) - image.halo;
      const y = Math.floor((index % (perImage * 4)) / (pitch * 4)) - image.halo;
      if (x < 0 || y < 0 || x >= image.width || y >= image.height) {
        if (bits[index] !== POISON_BITS) {
          throw new Error(`The halo of ${image.buffer.label} was written at (${y}, ${x})`);
        }
      } else if (channel < image.channels) logical[to++] = raw[index];
      else if (raw[index] !== 0) throw new Error(`A padding channel of ${image.buffer.label} holds ${raw[index]}`);
    }
    return logical;
  }

  async readParameter(range: ParameterRange): Promise<Float32Array> {
    const raw = await this.read(range.buffer);
    return raw.subarray(range.offset / 4, range.offset / 4 + range.length);
  }

  /** Runs kernels in order, `repeat` times over, in one pass. @throws Error with the message of any GPU error. */
  async run(kernels: readonly Kernel[], repeat = 1): Promise<void> {
    const steps: { pipeline: GPUComputePipeline; group: GPUBindGroup; kernel: Kernel }[] = [];
    for (const kernel of kernels) {
      const pipeline = await this.#pipeline(kernel);
      this.#device.pushErrorScope("validation");
      const group = this.#device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: kernel.bindings.map((binding, index) => ({
          binding: index,
          resource: {
            buffer: this.#gpuBuffer(binding.buffer),
            offset: binding.offset ?? 0,
            size: binding.size ?? binding.buffer.bytes - (binding.offset ?? 0),
          },
        })),
      });
      await this.#popError(`Cannot bind ${kernel.label}`);
      steps.push({ pipeline, group, kernel });
    }
    this.#device.pushErrorScope("validation");
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let round = 0; round < repeat; round++) {
      for (const { pipeline, group, kernel } of steps) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...kernel.workgroups);
      }
    }
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
    await this.#popError(`Cannot run ${kernels.map((kernel) => kernel.label).join(", ")}`);
    await this.#device.queue.onSubmittedWorkDone();
    if (this.#uncaptured !== undefined) throw new Error(`Uncaptured GPU error: ${this.#uncaptured}`);
  }

  async read(handle: BufferHandle): Promise<Float32Array> {
    const staging = this.#device.createBuffer({
      size: handle.bytes,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#gpuBuffer(handle), 0, staging, 0, handle.bytes);
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const copy = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    return copy;
  }

  /** Frees every buffer made so far; pipelines stay. */
  freeBuffers(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
  }

  destroy(): void {
    this.freeBuffers();
    this.#device.destroy();
  }

  #gpuBuffer(handle: BufferHandle): GPUBuffer {
    const buffer = this.#buffers.get(handle.id);
    if (!buffer) throw new Error(`Cannot find buffer ${handle.label}: it was freed`);
    return buffer;
  }

  async #pipeline(kernel: Kernel): Promise<GPUComputePipeline> {
    const types: Record<Binding["access"], GPUBufferBindingType> = {
      read: "read-only-storage",
      read_write: "storage",
      uniform: "uniform",
    };
    const key = kernel.bindings.map((binding) => binding.access).join() + kernel.code;
    const known = this.#pipelines.get(key);
    if (known) return known;
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label: kernel.label, code: kernel.code });
    await this.#popError(`Cannot compile ${kernel.label}:\n${kernel.code.slice(0, 4000)}\n`);
    this.#device.pushErrorScope("validation");
    const layout = this.#device.createBindGroupLayout({
      entries: kernel.bindings.map((binding, index) => ({
        binding: index,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: types[binding.access] },
      })),
    });
    const pipeline = this.#device.createComputePipeline({
      label: kernel.label,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    await this.#popError(`Cannot build the pipeline of ${kernel.label}`);
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  async #popError(what: string): Promise<void> {
    const error = await this.#device.popErrorScope();
    if (error) throw new Error(`${what}: ${error.message}`);
  }
}
