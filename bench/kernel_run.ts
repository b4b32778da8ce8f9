/** One operation of a recorded graph by itself on the GPU: random operands in, results checked, time taken. */
import {
  type BufferHandle,
  elementCount,
  Execution,
  type GpuDevice,
  type Graph,
  type Plan,
  planGraph,
  ReadBackRing,
  type Tensor,
  type Tuner,
  Variables,
} from "../src/gpu/mod.ts";
import type { Kernel } from "../src/gpu/graph/kernel.ts";
import { randomFloats } from "./measure.ts";

/** A tensor's values without borders and padding: NHWC, or PyTorch's order of a parameter. */
export type Values = Float32Array<ArrayBuffer>;

/** Where kernels run, and who chooses them; without a tuner the built-in choices. */
export interface KernelHost {
  readonly device: GpuDevice;
  readonly tuner?: Tuner;
}

export class KernelRun {
  readonly #device: GpuDevice;
  readonly #plan: Plan;
  readonly #variables: Variables;
  readonly #execution: Execution;
  readonly #sources = new Map<Tensor, Values>();
  readonly #parameters: ReadonlyMap<string, Values>;

  private constructor(device: GpuDevice, parts: { plan: Plan; variables: Variables; execution: Execution }) {
    this.#device = device;
    this.#plan = parts.plan;
    this.#variables = parts.variables;
    this.#execution = parts.execution;
    const { variables } = parts.plan.parameterPacking;
    this.#parameters = new Map(variables.map(({ tensor }, i) => {
      return [tensor.name, randomFloats(elementCount(tensor.shape), 100 + i)];
    }));
  }

  /**
   * Fills what the operations read with random numbers, and everything else with NaN: what is not written shows.
   * @param keep Results that are read.
   */
  static async create(host: KernelHost, graph: Graph, keep: readonly Tensor[]): Promise<KernelRun> {
    const { device, tuner } = host;
    const options = { target: device.target, keep };
    for await (const _tried of tuner?.tune([{ graph, options }]) ?? []);
    const plan = planGraph(graph, { ...options, choose: tuner?.choose });
    const variables = new Variables(device, plan);
    try {
      const execution = await Execution.create(device, plan, { variables, repack: true });
      const run = new KernelRun(device, { plan, variables, execution });
      execution.poison();
      run.#fill();
      return run;
    } catch (error) {
      variables.destroy();
      throw error;
    }
  }

  /** Records the kernels of every operation once, or of those of one kind. */
  encode(encoder: GPUCommandEncoder, kind?: string): void {
    const { kernels } = this.#execution;
    const isWanted = (kernel: Kernel) => kind === undefined || this.#plan.origins.get(kernel)?.kind === kind;
    const part = { first: kernels.findIndex(isWanted), end: kernels.findLastIndex(isWanted) + 1 };
    this.#execution.encodePart(encoder, part);
  }

  source(tensor: Tensor): Values {
    return this.#sources.get(tensor) ?? new Float32Array();
  }

  parameter(name: string): Values {
    return this.#parameters.get(name) ?? new Float32Array();
  }

  /** Runs every operation once. */
  step(): void {
    const encoder = this.#device.handle.createCommandEncoder();
    this.encode(encoder);
    this.#device.handle.queue.submit([encoder.finish()]);
  }

  /** A kept result. */
  async read(tensor: Tensor): Promise<Values> {
    const buffer = this.#execution.buffer(tensor);
    const ring = await ReadBackRing.create(this.#device, { bytes: buffer.size, depth: 1 });
    try {
      const encoder = this.#device.handle.createCommandEncoder();
      const ticket = ring.copy(encoder, buffer, buffer.size);
      this.#device.handle.queue.submit([encoder.finish()]);
      const bytes = await ring.read(ticket);
      const stored = this.#isHalf(tensor) ? new Float16Array(bytes) : new Float32Array(bytes);
      const values = new Float32Array(elementCount(tensor.shape));
      forEachElement(tensor.shape, this.#haloOf(tensor), (logical, physical) => values[logical] = stored[physical]);
      return values;
    } finally {
      ring.destroy();
    }
  }

  async readGradient(name: string): Promise<Values> {
    return (await this.#variables.downloadGradients()).get(name) ?? new Float32Array();
  }

  async readParameter(name: string): Promise<Values> {
    return (await this.#variables.downloadParameters()).get(name) ?? new Float32Array();
  }

  /** Gives the optimiser random gradients and momentum, packed as the parameters are. */
  fillOptimizer(): { readonly gradients: Values; readonly velocities: Values } {
    const scalars = this.#plan.variables.gradients.bytes / 4;
    const [gradients, velocities] = [randomFloats(scalars, 300), randomFloats(scalars, 301)];
    this.#device.handle.queue.writeBuffer(this.#variables.gradients, 0, gradients);
    this.#device.handle.queue.writeBuffer(this.#variables.velocities, 0, velocities);
    return { gradients, velocities };
  }

  writeInput(input: BufferHandle, bytes: ArrayBuffer | Values): void {
    this.#execution.write(input, bytes);
  }

  destroy(): void {
    this.#execution.destroy();
    this.#variables.destroy();
  }

  #fill(): void {
    let seed = 1;
    for (const tensor of this.#plan.kept.keys()) {
      if (tensor.role !== "source") continue;
      const values = randomFloats(elementCount(tensor.shape), seed++);
      this.#sources.set(tensor, values);
      const stored = new Float32Array(this.#execution.buffer(tensor).size / (this.#isHalf(tensor) ? 2 : 4));
      forEachElement(tensor.shape, this.#haloOf(tensor), (logical, physical) => stored[physical] = values[logical]);
      this.#execution.writeSource(tensor, stored);
    }
    for (const input of this.#plan.inputs) this.#execution.write(input, randomFloats(input.bytes / 4, seed++));
    this.#variables.uploadParameters(this.#parameters);
    const states = this.#plan.statePacking.variables.map(({ tensor }): [string, Values] => {
      return [tensor.name, randomFloats(elementCount(tensor.shape), seed++)];
    });
    this.#variables.uploadStates(new Map(states));
    const { gradients } = this.#plan.variables;
    this.#device.handle.queue.writeBuffer(this.#variables.gradients, 0, new Uint8Array(gradients.bytes).fill(0xff));
  }

  #isHalf(tensor: Tensor): boolean {
    return this.#plan.kept.get(tensor)?.elementType === "f16";
  }

  #haloOf(tensor: Tensor): number {
    return this.#plan.kept.get(tensor)?.halo ?? 0;
  }
}

/** Leaves the operations of one kind in a graph. */
export function keepOnly(graph: Graph, kind: string): void {
  const kept = graph.operations.filter((operation) => operation.kind === kind);
  graph.operations.splice(0, graph.operations.length, ...kept);
}

/** Visits each element with its index without and with borders and padding to channel quads. */
function forEachElement(
  shape: readonly number[],
  halo: number,
  visit: (logical: number, physical: number) => void,
): void {
  const [batch, height, width, channels] = shape.length === 4 ? shape : [shape[0], 1, 1, shape[1]];
  const padded = Math.ceil(channels / 4) * 4;
  let logical = 0;
  for (let n = 0; n < batch; n++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const pixel = (n * (height + 2 * halo) + y + halo) * (width + 2 * halo) + x + halo;
        for (let c = 0; c < channels; c++) visit(logical++, pixel * padded + c);
      }
    }
  }
}
