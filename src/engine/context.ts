import type { DatasetRegistry } from "../data/mod.ts";
import type { GpuDevice, Tuner } from "../gpu/mod.ts";

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
 * Sees to it that buffers of so many bytes can be made, if need be by freeing what is kept for later.
 * @throws {MemoryLimitError} when too much is in use even so.
 */
export async function makeRoom(
  { device, releaseMemory }: EngineContext,
  what: string,
  bytes: number,
): Promise<void> {
  if (device.hasRoom(bytes)) return;
  await releaseMemory();
  device.requireRoom(what, bytes);
}
