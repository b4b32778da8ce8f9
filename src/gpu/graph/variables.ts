import type { GpuDevice } from "../device/mod.ts";
import { ReadBackRing } from "../device/mod.ts";
import type { Variable } from "./graph.ts";
import type { Packing } from "./packing.ts";
import type { Plan } from "./plan.ts";
import { elementCount, type Tensor } from "./tensor.ts";

/** Values by name, each in its logical layout. */
export type NamedValues = ReadonlyMap<string, Float32Array>;

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;

/** The parameters, gradients, momentum and running statistics of one network on the GPU. */
export class Variables {
  readonly parameters: GPUBuffer;
  readonly gradients: GPUBuffer;
  readonly velocities: GPUBuffer;
  readonly states: GPUBuffer;
  readonly #device: GpuDevice;
  readonly #parameterPacking: Packing;
  readonly #statePacking: Packing;
  readonly #claim: Disposable;
  #version = 0;

  /** Zeroed buffers of the sizes that a plan of the network names. */
  constructor(device: GpuDevice, plan: Plan) {
    this.#device = device;
    this.#parameterPacking = plan.parameterPacking;
    this.#statePacking = plan.statePacking;
    this.parameters = device.createBuffer("parameters", plan.variables.parameters.bytes, USAGE);
    this.gradients = device.createBuffer("gradients", plan.variables.gradients.bytes, USAGE);
    this.velocities = device.createBuffer("velocities", plan.variables.velocities.bytes, USAGE);
    this.states = device.createBuffer("states", plan.variables.states.bytes, USAGE);
    this.#claim = device.claim(Object.values(plan.variables).reduce((sum, { bytes }) => sum + bytes, 0));
  }

  /** Grows with every change of parameters or statistics: what depends on them alone is computed again then. */
  get version(): number {
    return this.#version;
  }

  /** To be called after a step that changed them. */
  changed(): void {
    this.#version++;
  }

  /** @throws {Error} when a value is missing or has the wrong length. */
  uploadParameters(values: NamedValues): void {
    this.#upload(this.parameters, this.#parameterPacking, values);
  }

  /** @throws {Error} when a value is missing or has the wrong length. */
  uploadVelocities(values: NamedValues): void {
    this.#upload(this.velocities, this.#parameterPacking, values);
  }

  /** @throws {Error} when a value is missing or has the wrong length. */
  uploadStates(values: NamedValues): void {
    this.#upload(this.states, this.#statePacking, values);
  }

  /** Sets momentum to its start. */
  clearVelocities(): void {
    this.#device.handle.queue.writeBuffer(this.velocities, 0, new Uint8Array(this.velocities.size));
  }

  downloadParameters(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    return this.#download(this.parameters, this.#parameterPacking);
  }

  downloadGradients(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    return this.#download(this.gradients, this.#parameterPacking);
  }

  downloadVelocities(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    return this.#download(this.velocities, this.#parameterPacking);
  }

  downloadStates(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    return this.#download(this.states, this.#statePacking);
  }

  /**
   * Puts states in the parameters' place until it is disposed of: those from `first` on, which are packed as the
   * parameters are. The gradients keep the parameters meanwhile: between two steps nobody else needs them.
   */
  substitute(first: Tensor): Disposable {
    const { parameters, gradients, states } = this;
    const bytes = parameters.size;
    const copy = (source: GPUBuffer, offset: number, target: GPUBuffer) => {
      const encoder = this.#device.handle.createCommandEncoder();
      encoder.copyBufferToBuffer(source, offset, target, 0, bytes);
      this.#device.handle.queue.submit([encoder.finish()]);
      this.changed();
    };
    copy(parameters, 0, gradients);
    copy(states, this.#statePacking.offsetOf(first), parameters);
    return { [Symbol.dispose]: () => copy(gradients, 0, parameters) };
  }

  destroy(): void {
    for (const buffer of [this.parameters, this.gradients, this.velocities, this.states]) buffer.destroy();
    this.#claim[Symbol.dispose]();
  }

  #upload(buffer: GPUBuffer, packing: Packing, values: NamedValues): void {
    const packed = new Float32Array(packing.bytes / 4);
    for (const variable of packing.variables) {
      packed.set(requireValue(values, variable), packing.offsetOf(variable.tensor) / 4);
    }
    this.#device.handle.queue.writeBuffer(buffer, 0, packed);
    this.changed();
  }

  async #download(buffer: GPUBuffer, packing: Packing): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const ring = await ReadBackRing.create(this.#device, { bytes: packing.bytes, depth: 1 });
    try {
      const encoder = this.#device.handle.createCommandEncoder();
      const ticket = ring.copy(encoder, buffer, packing.bytes);
      this.#device.handle.queue.submit([encoder.finish()]);
      const bytes = await ring.read(ticket);
      return new Map(packing.variables.map(({ tensor }) => {
        return [tensor.name, new Float32Array(bytes, packing.offsetOf(tensor), elementCount(tensor.shape))];
      }));
    } finally {
      ring.destroy();
    }
  }
}

function requireValue(values: NamedValues, { tensor }: Variable): Float32Array {
  const value = values.get(tensor.name);
  const length = elementCount(tensor.shape);
  if (!value) throw new Error(`Cannot find a value for "${tensor.name}"`);
  if (value.length !== length) {
    throw new Error(`Cannot use ${value.length} values for "${tensor.name}": it has ${length}`);
  }
  return value;
}
