import { GpuError, MemoryLimitError } from "../errors.ts";
import type { Kernel, Target } from "../graph/kernel.ts";
import { type AdapterDescription, openAdapter } from "./adapter.ts";
import { availableMemory } from "./system_memory.ts";

const SOFTWARE_MEMORY_SHARE = 0.5;

/** An open GPU: its pipelines, its limits as the planner sees them, and the first thing that went wrong on it. */
export class GpuDevice {
  readonly target: Target;
  /** Bytes that all plans together may take; undefined where the adapter's memory is unknown. */
  readonly memoryBudget: number | undefined;
  #claimedBytes = 0;
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #failure: GpuError | undefined;
  #destroyed = false;

  private constructor(readonly handle: GPUDevice, readonly adapter: AdapterDescription) {
    const { limits, software } = adapter;
    this.target = {
      software,
      subgroupSize: adapter.subgroupSize,
      maxUniformBindingBytes: limits.maxUniformBufferBindingSize,
      maxStorageBindingBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
      maxBufferBytes: limits.maxBufferSize,
      maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    };
    // A software adapter allocates lazily from the machine's own memory and never refuses.
    this.memoryBudget = software ? Math.floor(availableMemory() * SOFTWARE_MEMORY_SHARE) : undefined;
    handle.addEventListener("uncapturederror", (event) => {
      this.#fail(uncaptured((event as GPUUncapturedErrorEvent).error));
    });
    handle.lost.then(({ message }) => {
      if (!this.#destroyed) this.#fail(new GpuError("lost", `The GPU device was lost: ${message}`));
    });
  }

  /** @throws {GpuError} `unavailable` when no driver can be loaded. */
  static async open(): Promise<GpuDevice> {
    const { device, description } = await openAdapter();
    return new GpuDevice(device, description);
  }

  /** The first error that the device reported outside a scope: results since then are not to be trusted. */
  get failure(): GpuError | undefined {
    return this.#failure;
  }

  /** @throws {GpuError} its `failure`. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /**
   * The pipeline of a kernel; kernels of equal text and constants share one.
   * @throws {GpuError} `shader` with the compiler's messages, or `validation`.
   */
  async pipeline(kernel: Kernel): Promise<GPUComputePipeline> {
    const key = pipelineKey(kernel);
    const known = this.#pipelines.get(key);
    if (known) return known;
    this.handle.pushErrorScope("validation");
    const module = this.handle.createShaderModule({ label: kernel.label, code: kernel.code });
    const pipeline = this.handle.createComputePipeline({
      label: kernel.label,
      layout: "auto",
      compute: { module, entryPoint: "main", constants: kernel.constants },
    });
    const error = await this.handle.popErrorScope();
    if (error) throw await shaderError(kernel, module, error);
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  createBuffer(label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    return this.handle.createBuffer({ label, size, usage });
  }

  /**
   * Runs a synchronous function that creates buffers.
   * @throws {GpuError} `out-of-memory` when the GPU refused one of them; what was created is destroyed then.
   */
  async allocate<T extends { destroy(): void }>(create: () => T): Promise<T> {
    this.handle.pushErrorScope("out-of-memory");
    const created = create();
    const error = await this.handle.popErrorScope();
    if (!error) return created;
    created.destroy();
    throw new GpuError("out-of-memory", outOfMemory(error));
  }

  /** @throws {MemoryLimitError} when buffers of so many bytes do not fit beside those that are claimed. */
  requireRoom(what: string, bytes: number): void {
    const free = (this.memoryBudget ?? Infinity) - this.#claimedBytes;
    if (bytes > free) throw new MemoryLimitError(what, bytes, free);
  }

  /** Takes bytes out of the budget, as buffers are created; given back as they are destroyed. */
  claim(bytes: number): Disposable {
    this.#claimedBytes += bytes;
    let claimed = bytes;
    return {
      [Symbol.dispose]: () => {
        this.#claimedBytes -= claimed;
        claimed = 0;
      },
    };
  }

  destroy(): void {
    this.#destroyed = true;
    this.#pipelines.clear();
    this.handle.destroy();
  }

  #fail(error: GpuError): void {
    this.#failure ??= error;
  }
}

/** What makes two kernels the same pipeline. */
export function pipelineKey(kernel: Kernel): string {
  return kernel.constants ? `${JSON.stringify(kernel.constants)}\n${kernel.code}` : kernel.code;
}

function uncaptured(error: GPUError): GpuError {
  if (error instanceof GPUOutOfMemoryError) return new GpuError("out-of-memory", outOfMemory(error));
  // What is submitted after the loss is told as invalid, often before the loss itself.
  if (/device is lost/i.test(error.message)) return new GpuError("lost", "The GPU device was lost");
  return new GpuError("validation", `The GPU refused a command: ${error.message}`);
}

function outOfMemory({ message }: GPUError): string {
  return `The GPU is out of memory: ${message}`;
}

async function shaderError(kernel: Kernel, module: GPUShaderModule, error: GPUError): Promise<GpuError> {
  const { messages } = await module.getCompilationInfo();
  const lines = kernel.code.split("\n");
  const details = messages
    .filter(({ type }) => type === "error")
    .map(({ message, lineNum }) => `line ${lineNum}: ${message}\n  ${lines[lineNum - 1]?.trim() ?? ""}`);
  const text = details.length > 0 ? details.join("\n") : error.message;
  return new GpuError("shader", `Cannot build the kernel "${kernel.label}": ${text}`);
}
