export type { AdapterDescription } from "./adapter.ts";
export { GpuDevice, pipelineKey } from "./gpu_device.ts";
export { ReadBackRing, type ReadBackTicket } from "./read_back.ts";
