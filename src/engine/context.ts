import type { DatasetRegistry } from "../data/mod.ts";
import type { GpuDevice } from "../gpu/mod.ts";

/** What every job works with. */
export interface EngineContext {
  readonly device: GpuDevice;
  readonly datasets: DatasetRegistry;
  readonly dataDir: string;
}
