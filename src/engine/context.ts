import type { DatasetRegistry } from "../data/mod.ts";
import type { GpuDevice, Tuner } from "../gpu/mod.ts";

/** What every job works with. */
export interface EngineContext {
  readonly device: GpuDevice;
  /** Absent where kernels are the built-in choices. */
  readonly tuner?: Tuner;
  readonly datasets: DatasetRegistry;
  readonly dataDir: string;
}
