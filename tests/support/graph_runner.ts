/** Runs a recorded graph once on the GPU, with values in and out in their logical layout (NHWC, no padding). */
import {
  Execution,
  GpuDevice,
  type Graph,
  type Plan,
  planGraph,
  type PlanOptions,
  type Precision,
  ReadBackRing,
  type StepKey,
  type Target,
  type Tensor,
  Variables,
} from "../../src/gpu/mod.ts";

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
  /** Plan for subgroups of this size, or for none with 0; default: the adapter's. */
  readonly subgroupSize?: number;
  /** Plan for storage bindings of at most this size; default: the adapter's. */
  readonly storageBindingBytes?: number;
  /** How forms are chosen; default: the first candidates. */
  readonly choose?: PlanOptions["choose"];
}

type PlanInputs = Pick<RunInputs, "keep" | "software" | "subgroupSize" | "storageBindingBytes" | "choose">;

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

/** What the adapter can compute in: mixed precision needs its `shader-f16`. */
export async function testPrecisions(): Promise<readonly Precision[]> {
  const { adapter } = await testDevice();
  return adapter.features.includes("shader-f16") ? ["f32", "mixed"] : ["f32"];
}

/** Every buffer is poisoned with NaN before the first step, so that an element nobody writes shows. */
export async function runGraph(graph: Graph, inputs: RunInputs): Promise<RunOutputs> {
  const session = await GraphSession.open(graph, inputs);
  try {
    session.uploadParameters(inputs.parameters);
    session.uploadStates(inputs.states);
    for (const [tensor, values] of inputs.sources ?? []) session.writeSource(tensor, values);
    for (const [label, bytes] of inputs.inputs ?? []) session.writeInput(label, bytes);
    for (let step = 0; step < (inputs.steps ?? 1); step++) session.step();
    const values = new Map<Tensor, Float32Array>();
    for (const tensor of inputs.keep) values.set(tensor, await session.read(tensor));
    return {
      values,
      parameters: await session.variables.downloadParameters(),
      gradients: await session.variables.downloadGradients(),
      states: await session.variables.downloadStates(),
    };
  } finally {
    session.close();
  }
}

/** A graph on the GPU that can be stepped with new values; close() it. */
export class GraphSession {
  readonly #device: GpuDevice;
  readonly #graph: Graph;
  readonly #plan: Plan;
  readonly #execution: Execution;

  private constructor(
    device: GpuDevice,
    recorded: { graph: Graph; plan: Plan },
    readonly variables: Variables,
    execution: Execution,
  ) {
    this.#device = device;
    this.#graph = recorded.graph;
    this.#plan = recorded.plan;
    this.#execution = execution;
  }

  /** Plans the graph and fills its working buffers with NaN. */
  static async open(
    graph: Graph,
    { keep, software, subgroupSize, storageBindingBytes, choose }: PlanInputs,
  ): Promise<GraphSession> {
    const device = await testDevice();
    const target: Target = {
      ...device.target,
      software: software ?? device.target.software,
      subgroupSize: subgroupSize ?? device.target.subgroupSize,
      maxStorageBindingBytes: storageBindingBytes ?? device.target.maxStorageBindingBytes,
    };
    const plan = planGraph(graph, { target, keep, choose });
    const variables = new Variables(device, plan);
    try {
      const execution = await Execution.create(device, plan, { variables, repack: true });
      execution.poison();
      return new GraphSession(device, { graph, plan }, variables, execution);
    } catch (error) {
      variables.destroy();
      throw error;
    }
  }

  uploadParameters(values?: ReadonlyMap<string, ArrayLike<number>>): void {
    this.variables.uploadParameters(toFloats(values));
  }

  uploadStates(values?: ReadonlyMap<string, ArrayLike<number>>): void {
    this.variables.uploadStates(toFloats(values));
  }

  /** Logical values of a source; nothing where the plan has no use for it. */
  writeSource(tensor: Tensor, values: ArrayLike<number>): void {
    const image = this.#plan.kept.get(tensor);
    if (image) this.#execution.writeSource(tensor, toPhysical(values, tensor.shape, image.halo));
  }

  writeInput(label: string, bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): void {
    const input = this.#graph.inputs.find((candidate) => candidate.label === label);
    if (!input) throw new Error(`Cannot find the input "${label}"`);
    this.#execution.write(input, bytes);
  }

  /** Draws the numbers of the next step; see Execution.draw. */
  draw(key: StepKey): void {
    this.#execution.draw(key);
  }

  step(): void {
    const encoder = this.#device.handle.createCommandEncoder();
    this.#execution.encode(encoder);
    this.#device.handle.queue.submit([encoder.finish()]);
  }

  /** Logical values of a tensor that was asked for. */
  async read(tensor: Tensor): Promise<Float32Array> {
    const bytes = await readBuffer(this.#device, this.#execution.buffer(tensor));
    this.#device.check();
    const { halo = 0, elementType = "f32" } = this.#plan.kept.get(tensor) ?? {};
    const values = elementType === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
    return toLogical(values, tensor.shape, halo);
  }

  close(): void {
    this.#execution.destroy();
    this.variables.destroy();
  }
}

function toFloats(values: ReadonlyMap<string, ArrayLike<number>> = new Map()): Map<string, Float32Array> {
  return new Map([...values].map(([name, value]) => [name, Float32Array.from(value)]));
}

async function readBuffer(device: GpuDevice, buffer: GPUBuffer): Promise<ArrayBuffer> {
  const ring = await ReadBackRing.create(device, { bytes: buffer.size, depth: 1 });
  const encoder = device.handle.createCommandEncoder();
  const ticket = ring.copy(encoder, buffer, buffer.size);
  device.handle.queue.submit([encoder.finish()]);
  const bytes = await ring.read(ticket);
  ring.destroy();
  return bytes;
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
