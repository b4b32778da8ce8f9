/** Runs a recorded graph once on the GPU, with values in and out in their logical layout (NHWC, no padding). */
import { Execution, GpuDevice, type Graph, planGraph, type Target, type Tensor, Variables } from "../../src/gpu/mod.ts";
import { ReadBackRing } from "../../src/gpu/mod.ts";

export interface RunInputs {
  readonly sources?: ReadonlyMap<Tensor, ArrayLike<number>>;
  readonly parameters?: ReadonlyMap<string, ArrayLike<number>>;
  readonly states?: ReadonlyMap<string, ArrayLike<number>>;
  /** Bytes of the graph's inputs, by label. */
  readonly inputs?: ReadonlyMap<string, ArrayBufferView<ArrayBuffer>>;
  readonly keep: readonly Tensor[];
  readonly steps?: number;
  /** Plan as for a GPU, or as for software Vulkan, whatever the adapter is; default: the adapter's. */
  readonly software?: boolean;
}

export interface RunOutputs {
  readonly values: ReadonlyMap<Tensor, Float32Array>;
  readonly parameters: ReadonlyMap<string, Float32Array>;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly states: ReadonlyMap<string, Float32Array>;
}

let shared: Promise<GpuDevice> | undefined;

/** One device for all tests of a process. */
export function testDevice(): Promise<GpuDevice> {
  return shared ??= GpuDevice.open();
}

/** Every buffer is poisoned with NaN before the first step, so that an element nobody writes shows. */
export async function runGraph(graph: Graph, inputs: RunInputs): Promise<RunOutputs> {
  const device = await testDevice();
  const target: Target = { ...device.target, software: inputs.software ?? device.target.software };
  const plan = planGraph(graph, { target, keep: inputs.keep });
  const variables = new Variables(device, plan);
  const execution = await Execution.create(device, plan, { variables, repack: true });
  try {
    execution.poison();
    const floats = (values: ReadonlyMap<string, ArrayLike<number>> = new Map()) =>
      new Map([...values].map(([name, value]) => [name, Float32Array.from(value)]));
    variables.uploadParameters(floats(inputs.parameters));
    variables.uploadStates(floats(inputs.states));
    for (const [tensor, values] of inputs.sources ?? []) {
      const image = plan.kept.get(tensor);
      if (image) execution.writeSource(tensor, toPhysical(values, tensor.shape, image.halo));
    }
    for (const input of graph.inputs) {
      const bytes = inputs.inputs?.get(input.label);
      if (bytes) execution.write(input, bytes);
    }
    for (let step = 0; step < (inputs.steps ?? 1); step++) {
      const encoder = device.handle.createCommandEncoder();
      execution.encode(encoder);
      device.handle.queue.submit([encoder.finish()]);
    }
    const values = new Map<Tensor, Float32Array>();
    for (const tensor of inputs.keep) {
      const halo = plan.kept.get(tensor)?.halo ?? 0;
      values.set(tensor, toLogical(await readBuffer(device, execution.buffer(tensor)), tensor.shape, halo));
    }
    const outputs = {
      values,
      parameters: await variables.downloadParameters(),
      gradients: await variables.downloadGradients(),
      states: await variables.downloadStates(),
    };
    device.check();
    return outputs;
  } finally {
    execution.destroy();
    variables.destroy();
  }
}

async function readBuffer(device: GpuDevice, buffer: GPUBuffer): Promise<Float32Array> {
  const ring = await ReadBackRing.create(device, { bytes: buffer.size, depth: 1 });
  const encoder = device.handle.createCommandEncoder();
  const ticket = ring.copy(encoder, buffer, buffer.size);
  device.handle.queue.submit([encoder.finish()]);
  const bytes = await ring.read(ticket);
  ring.destroy();
  return new Float32Array(bytes);
}

function extents(shape: readonly number[]): [number, number, number, number] {
  return shape.length === 4 ? [shape[0], shape[1], shape[2], shape[3]] : [shape[0], 1, 1, shape[1]];
}

/** Logical NHWC to the padded layout of the kernels. */
export function toPhysical(
  values: ArrayLike<number>,
  shape: readonly number[],
  halo: number,
): Float32Array<ArrayBuffer> {
  const [n, h, w, c] = extents(shape);
  const padded = Math.ceil(c / 4) * 4;
  const result = new Float32Array(n * (h + 2 * halo) * (w + 2 * halo) * padded);
  eachElement([n, h, w, c], halo, (logical, physical) => result[physical] = values[logical]);
  return result;
}

/** The padded layout of the kernels to logical NHWC. */
export function toLogical(values: ArrayLike<number>, shape: readonly number[], halo: number): Float32Array {
  const [n, h, w, c] = extents(shape);
  const result = new Float32Array(n * h * w * c);
  eachElement([n, h, w, c], halo, (logical, physical) => result[logical] = values[physical]);
  return result;
}

function eachElement(
  [n, h, w, c]: readonly [number, number, number, number],
  halo: number,
  visit: (logical: number, physical: number) => void,
): void {
  const padded = Math.ceil(c / 4) * 4;
  let logical = 0;
  for (let i = 0; i < n; i++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const pixel = (i * (h + 2 * halo) + y + halo) * (w + 2 * halo) + x + halo;
        for (let channel = 0; channel < c; channel++) visit(logical++, pixel * padded + channel);
      }
    }
  }
}
