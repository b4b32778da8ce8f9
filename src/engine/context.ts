import type { DatasetRegistry } from "../data/mod.ts";
import { type GpuDevice, MemoryLimitError, type Tuner } from "../gpu/mod.ts";

/** What every job works with. */
export interface EngineContext {
  readonly device: GpuDevice;
  /** Absent where kernels are the built-in choices. */
  readonly tuner?: Tuner;
  readonly datasets: DatasetRegistry;
  readonly dataDir: string;
  /** Frees the GPU memory of networks that are kept for later inference alone. */
  readonly releaseMemory: () => Promise<void>;
}

/**
 * Does what needs GPU memory; where too much is in use, frees what is only kept for later and tries once more.
 * @throws {MemoryLimitError} when too much is in use even so.
 */
export async function withRoom<T>({ releaseMemory }: EngineContext, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MemoryLimitError)) throw error;
    await releaseMemory();
    return await work();
  }
}
