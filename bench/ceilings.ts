/**
 * What the adapter can do at most: multiply-adds in registers, loads of each kind, and bandwidth. Kernels are told beside
 * these, measured in the same run.
 */
import { createPipeline } from "../src/gpu/device/mod.ts";
import type { GpuDevice } from "../src/gpu/mod.ts";
import { copyKernel, loadKernel, type LoadKind, loadKinds, multiplyAddKernel, type Probe } from "./ceiling_kernels.ts";
import { type Measurement, median, randomFloats, summarise } from "./measure.ts";
import type { GpuTimer } from "./timer.ts";

export interface Ceilings {
  /** GFLOP/s; a multiply-add counts as two operations. */
  readonly multiplyAdds: number;
  /** GB/s, bytes read and bytes written together. */
  readonly copyBandwidth: number;
}

export interface CeilingsOptions {
  readonly device: GpuDevice;
  readonly timer: GpuTimer;
  readonly runs: number;
}

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
/** Copied: more than a CPU's caches hold, no more than may be bound everywhere. */
const COPY_BYTES = 128 * 2 ** 20;

/** Every ceiling, a line each, and what kernels are compared with. */
export async function measureCeilings(
  options: CeilingsOptions,
): Promise<Ceilings & { readonly lines: readonly Measurement[] }> {
  const multiplyAdds = await measureMultiplyAdds(options);
  const loads: Measurement[] = [];
  for (const kind of loadKinds(options.device.target)) {
    loads.push(await measureLoads(kind, multiplyAdds.median, options));
  }
  const copies = await measureCopies(options);
  return {
    multiplyAdds: multiplyAdds.median,
    copyBandwidth: Math.max(...copies.map((copy) => copy.median)),
    lines: [multiplyAdds, ...loads, ...copies],
  };
}

/** GFLOP/s of the fastest of some unrolled bodies. */
export async function measureMultiplyAdds(options: CeilingsOptions): Promise<Measurement> {
  const lines: Measurement[] = [];
  for (const accumulators of [8, 16, 24]) {
    const probe = multiplyAddKernel(accumulators);
    const times = await timeProbe(probe, options);
    lines.push(summarise(times.map((ms) => 2 * probe.operations / ms / 1e6), {
      ...about(options, "multiply-add ceiling", "GFLOP/s"),
      details: { accumulators },
    }));
  }
  return lines.reduce((best, line) => line.median > best.median ? line : best);
}

/** Thousand millions of loads a second, of one invocation each, and how many multiply-adds take as long as one. */
async function measureLoads(kind: LoadKind, gigaflops: number, options: CeilingsOptions): Promise<Measurement> {
  const probe = loadKernel(kind, options.device.target);
  const rates = (await timeProbe(probe, options)).map((ms) => probe.operations / ms / 1e6);
  return summarise(rates, {
    ...about(options, `load ${kind}`, "Gload/s"),
    details: { multiply_adds_per_load: gigaflops / 2 / median(rates) },
  });
}

/** GB/s of a copy of a large buffer, by a kernel and by the driver. */
async function measureCopies(options: CeilingsOptions): Promise<Measurement[]> {
  const { device, timer, runs } = options;
  const bytes = Math.min(COPY_BYTES, device.target.maxStorageBindingBytes);
  const from = device.createBuffer("copy from", bytes, USAGE);
  const to = device.createBuffer("copy to", bytes, USAGE);
  const details = { bytes };
  try {
    fillRandom(device, from);
    const probe = copyKernel(bytes);
    const encode = await encoderOf(device, probe, [from, to]);
    const byKernel = await timer.samples(encode, runs);
    const byDriver = await timer.samples((encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, bytes), runs);
    const bandwidth = (times: readonly number[]) => times.map((ms) => 2 * bytes / ms / 1e6);
    return [
      summarise(bandwidth(byKernel), { ...about(options, "copy bandwidth, kernel", "GB/s"), details }),
      summarise(bandwidth(byDriver), { ...about(options, "copy bandwidth, driver", "GB/s"), details }),
    ];
  } finally {
    from.destroy();
    to.destroy();
  }
}

async function timeProbe(probe: Probe, { device, timer, runs }: CeilingsOptions): Promise<number[]> {
  const data = device.createBuffer("probe data", probe.dataBytes, USAGE);
  const results = device.createBuffer("probe results", probe.resultBytes, USAGE);
  try {
    fillRandom(device, data);
    return await timer.samples(await encoderOf(device, probe, [data, results]), runs);
  } finally {
    data.destroy();
    results.destroy();
  }
}

async function encoderOf(device: GpuDevice, probe: Probe, buffers: readonly GPUBuffer[]) {
  const pipeline = await createPipeline(device.handle, { ...probe, bindings: [] });
  const group = device.handle.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  return (encoder: GPUCommandEncoder) => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...probe.workgroups);
    pass.end();
  };
}

function fillRandom(device: GpuDevice, buffer: GPUBuffer): void {
  const part = randomFloats(Math.min(buffer.size, 2 ** 20) / 4);
  for (let offset = 0; offset < buffer.size; offset += part.byteLength) {
    const bytes = Math.min(part.byteLength, buffer.size - offset);
    device.handle.queue.writeBuffer(buffer, offset, part, 0, bytes / 4);
  }
}

function about({ device }: CeilingsOptions, name: string, unit: string) {
  return { benchmark: "kernels", case: name, unit, adapter: device.adapter.description };
}
