/** Kernels made ready for a device: a pipeline, its bindings, a grid. */
import type { GpuDevice } from "../device/mod.ts";
import { GpuError } from "../errors.ts";
import type { BufferHandle, Kernel } from "./kernel.ts";

export interface Dispatch {
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  /** Lets go of the pipeline. */
  readonly release: () => void;
}

/**
 * @param bufferOf Where a handle lies on the device.
 * @throws {GpuError} when the shader or a binding is refused.
 */
export async function createDispatch(
  device: GpuDevice,
  kernel: Kernel,
  bufferOf: (handle: BufferHandle) => GPUBuffer,
): Promise<Dispatch> {
  const { pipeline, release } = await device.pipelines.lease(kernel);
  const { handle } = device;
  handle.pushErrorScope("validation");
  const group = handle.createBindGroup({
    label: kernel.label,
    layout: pipeline.getBindGroupLayout(0),
    entries: kernel.bindings.map(({ buffer, offset = 0, size = buffer.bytes - offset }, binding) => {
      return { binding, resource: { buffer: bufferOf(buffer), offset, size } };
    }),
  });
  const error = await handle.popErrorScope();
  if (error) {
    release();
    throw new GpuError("validation", `Cannot bind the buffers of "${kernel.label}": ${error.message}`);
  }
  return { kernel, pipeline, group, workgroups: kernel.workgroups, release };
}

export function recordDispatches(pass: GPUComputePassEncoder, dispatches: readonly Dispatch[]): void {
  for (const { pipeline, group, workgroups } of dispatches) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...workgroups);
  }
}
