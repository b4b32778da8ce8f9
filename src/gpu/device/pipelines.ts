/** Pipelines of kernels: made, shared by all that use them at a time, and kept for a while after. */
import { GpuError } from "../errors.ts";
import type { Kernel } from "../graph/kernel.ts";

/**
 * Pipelines that nobody uses and that are kept nevertheless: those of a network or two, since the same network is
 * often planned again, for its evaluation or the next run. On software Vulkan each holds some MB of compiled code.
 */
const MOST_UNUSED = 128;

/** The use of a pipeline until it is released. */
export interface PipelineLease {
  readonly pipeline: GPUComputePipeline;
  /** To be called once the GPU has been given all that uses it; later calls do nothing. */
  release(): void;
}

interface Entry {
  readonly pipeline: Promise<GPUComputePipeline>;
  users: number;
}

/**
 * The pipelines of a device. WebGPU has no way to destroy one: the collector frees those that this cache and its users
 * let go of. It sees small objects, not the megabytes behind them, so whoever has many of them dropped has to ask for a
 * collection.
 */
export class PipelineCache {
  readonly #create: (kernel: Kernel) => Promise<GPUComputePipeline>;
  readonly #mostUnused: number;
  readonly #used = new Map<string, Entry>();
  /** The one that was released first comes first. */
  readonly #unused = new Map<string, Entry>();
  #dropped = 0;

  constructor(create: (kernel: Kernel) => Promise<GPUComputePipeline>, mostUnused = MOST_UNUSED) {
    this.#create = create;
    this.#mostUnused = mostUnused;
  }

  /** Pipelines in use, and those kept without a user. */
  get counts(): { readonly used: number; readonly unused: number } {
    return { used: this.#used.size, unused: this.#unused.size };
  }

  /** Pipelines dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /**
   * The pipeline of a kernel; kernels of equal text and constants share one.
   * @throws {GpuError} what `create` throws; the next lease tries again.
   */
  async lease(kernel: Kernel): Promise<PipelineLease> {
    const key = pipelineKey(kernel);
    const entry = this.#used.get(key) ?? this.#unused.get(key) ?? { pipeline: this.#create(kernel), users: 0 };
    this.#unused.delete(key);
    this.#used.set(key, entry);
    entry.users++;
    try {
      return { pipeline: await entry.pipeline, release: once(() => this.#release(key, entry)) };
    } catch (error) {
      if (this.#used.get(key) === entry) this.#used.delete(key);
      throw error;
    }
  }

  clear(): void {
    this.#used.clear();
    this.#unused.clear();
  }

  #release(key: string, entry: Entry): void {
    entry.users--;
    if (entry.users > 0 || this.#used.get(key) !== entry) return;
    this.#used.delete(key);
    this.#unused.set(key, entry);
    for (const oldest of this.#unused.keys()) {
      if (this.#unused.size <= this.#mostUnused) break;
      this.#unused.delete(oldest);
      this.#dropped++;
    }
  }
}

/** What makes two kernels the same pipeline. */
export function pipelineKey(kernel: Pick<Kernel, "code" | "constants">): string {
  return kernel.constants ? `${JSON.stringify(kernel.constants)}\n${kernel.code}` : kernel.code;
}

/** @throws {GpuError} `shader` with the compiler's messages and the lines they speak of. */
export async function createPipeline(handle: GPUDevice, kernel: Kernel): Promise<GPUComputePipeline> {
  handle.pushErrorScope("validation");
  const module = handle.createShaderModule({ label: kernel.label, code: kernel.code });
  const pipeline = handle.createComputePipeline({
    label: kernel.label,
    layout: "auto",
    compute: { module, entryPoint: "main", constants: kernel.constants },
  });
  const error = await handle.popErrorScope();
  if (error) throw await shaderError(kernel, module, error);
  return pipeline;
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

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
