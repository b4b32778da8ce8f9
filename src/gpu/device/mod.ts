export type { AdapterDescription } from "./adapter.ts";
export { driverFiles } from "./driver_files.ts";
export { GpuDevice } from "./gpu_device.ts";
export { createPipeline, PipelineCache, pipelineKey, type PipelineLease } from "./pipelines.ts";
export { ReadBackRing, type ReadBackTicket } from "./read_back.ts";
export { Stopwatch, type Work } from "./stopwatch.ts";
