import { GpuError } from "../errors.ts";
import type { Kernel, Target } from "../graph/kernel.ts";
import { type AdapterDescription, openAdapter } from "./adapter.ts";

const SOFTWARE_MEMORY_SHARE = 0.5;

/** An open GPU: its pipelines, its limits as the planner sees them, and the first thing that went wrong on it. */
export class GpuDevice {
  readonly target: Target;
  /** Bytes that one plan may take; undefined where the adapter's memory is unknown. */
  readonly memoryBudget: number | undefined;
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #failure: GpuError | undefined;

  private constructor(readonly handle: GPUDevice, readonly adapter: AdapterDescription) {
    const { limits, software } = adapter;
    this.target = {
      software,
      subgroupSize: adapter.subgroupSize,
      maxUniformBindingBytes: limits.maxUniformBufferBindingSize,
      maxStorageBindingBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
      maxBufferBytes: limits.maxBufferSize,
      maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      maxInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    };
    // A software adapter allocates lazily from the machine's own memory and never refuses.
    this.memoryBudget = software ? Deno.systemMemoryInfo().total * SOFTWARE_MEMORY_SHARE : undefined;
    handle.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      this.#fail(new GpuError(error instanceof GPUOutOfMemoryError ? "out-of-memory" : "validation", error.message));
    });
    handle.lost.then(({ reason, message }) => {
      if (reason !== "destroyed") this.#fail(new GpuError("lost", `The GPU device was lost: ${message}`));
    });
  }

  /** @throws {GpuError} `unavailable` when no driver can be loaded. */
  static async open(): Promise<GpuDevice> {
    const { device, description } = await openAdapter();
    return new GpuDevice(device, description);
  }

  /** @throws {GpuError} the first error the device reported outside a scope: results since then are not to be trusted. */
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

  destroy(): void {
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

async function shaderError(kernel: Kernel, module: GPUShaderModule, error: GPUError): Promise<GpuError> {
  const { messages } = await module.getCompilationInfo();
  const lines = kernel.code.split("\n");
  const details = messages
    .filter(({ type }) => type === "error")
    .map(({ message, lineNum }) => `line ${lineNum}: ${message}\n  ${lines[lineNum - 1]?.trim() ?? ""}`);
  const text = details.length > 0 ? details.join("\n") : error.message;
  return new GpuError("shader", `Cannot build the kernel "${kernel.label}": ${text}`);
}
