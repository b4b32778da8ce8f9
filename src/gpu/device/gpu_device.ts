import { GpuError, MemoryLimitError } from "../errors.ts";
import type { Target } from "../graph/kernel.ts";
import { type AdapterDescription, openAdapter } from "./adapter.ts";
import { createPipeline, PipelineCache } from "./pipelines.ts";
import { availableMemory } from "./system_memory.ts";

const SOFTWARE_MEMORY_SHARE = 0.5;

/** An open GPU: its pipelines, its limits as the planner sees them, and the first thing that went wrong on it. */
export class GpuDevice {
  readonly target: Target;
  readonly pipelines: PipelineCache;
  /** Bytes that all plans together may take; undefined where the adapter's memory is unknown. */
  readonly memoryBudget: number | undefined;
  #claimedBytes = 0;
  #failure: GpuError | undefined;
  #destroyed = false;

  private constructor(readonly handle: GPUDevice, readonly adapter: AdapterDescription) {
    const { limits, software } = adapter;
    this.pipelines = new PipelineCache((kernel) => createPipeline(handle, kernel));
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
    this.pipelines.clear();
    this.handle.destroy();
  }

  #fail(error: GpuError): void {
    this.#failure ??= error;
  }
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
