import { type GpuDevice, pipelineKey } from "../device/mod.ts";
import { createDispatch, type Dispatch, recordDispatches } from "./dispatch.ts";
import type { Draw, StepKey } from "./draw.ts";
import type { Interlude } from "./interlude.ts";
import type { BufferHandle, Kernel } from "./kernel.ts";
import type { Plan } from "./plan.ts";
import type { Border } from "./slots.ts";
import type { Tensor } from "./tensor.ts";
import type { Variables } from "./variables.ts";

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;

/** Pipelines that the driver has compiled: those that ran once. Executions with equal kernels share them. */
const compiled = new WeakSet<GPUComputePipeline>();

/** A plan with its buffers, pipelines and bind groups on a device: a step only replays it. */
export class Execution {
  readonly #device: GpuDevice;
  readonly #plan: Plan;
  readonly #variables: Variables;
  readonly #slots: readonly GPUBuffer[];
  readonly #inputs: ReadonlyMap<number, GPUBuffer>;
  readonly #claim: Disposable;
  readonly #dispatches: Dispatch[] = [];
  readonly #parameterDispatches: Dispatch[] = [];
  readonly #distinct: Dispatch[] = [];
  /** Of the next step. */
  #drawn: ReadonlyMap<Draw, number> | undefined;
  #preparedVersion = -1;

  private constructor(device: GpuDevice, plan: Plan, variables: Variables) {
    this.#device = device;
    this.#plan = plan;
    this.#variables = variables;
    this.#slots = plan.slots.slots.map(({ index, size }) => device.createBuffer(`slot ${index}`, size, USAGE));
    this.#inputs = new Map(plan.inputs.map(({ id, label, bytes }) => [id, device.createBuffer(label, bytes, USAGE)]));
    this.#claim = device.claim(plan.workingBytes + plan.inputs.reduce((sum, { bytes }) => sum + bytes, 0));
  }

  /**
   * Creates buffers, pipelines and bind groups.
   * @param options.repack Whether parameters change between steps, so that kernels that read parameters alone run
   * every step; otherwise they run when `variables.version` has changed.
   * @param options.interlude After each kernel: where the driver compiles as a pipeline is created, they take minutes.
   * @throws {GpuError} when a buffer, a shader or a binding is refused.
   */
  static async create(
    device: GpuDevice,
    plan: Plan,
    options: { readonly variables: Variables; readonly repack: boolean; readonly interlude?: Interlude },
  ): Promise<Execution> {
    const execution = await device.allocate(() => new Execution(device, plan, options.variables));
    try {
      await execution.#build(options);
    } catch (error) {
      execution.destroy();
      throw error;
    }
    return execution;
  }

  /** Distinct pipelines: what a warm-up compiles. */
  get pipelines(): number {
    return this.#distinct.length;
  }

  /** What a step dispatches, in order; kernels that run only after parameters change are left out. */
  get kernels(): readonly Kernel[] {
    return this.#dispatches.map(({ kernel }) => kernel);
  }

  /**
   * Makes the driver compile: runs one workgroup of each distinct pipeline that never ran, and yields the number ready.
   * Leaves garbage in every buffer, variables and inputs included, so it comes before anything is uploaded.
   */
  async *warmUp(): AsyncGenerator<number> {
    const { handle } = this.#device;
    yield 0;
    for (const [index, dispatch] of this.#distinct.entries()) {
      if (!compiled.has(dispatch.pipeline)) {
        const encoder = handle.createCommandEncoder();
        encodePass(encoder, [{ ...dispatch, workgroups: [1, 1, 1] }]);
        handle.queue.submit([encoder.finish()]);
        // Deno waits for the GPU in the call itself; awaited, it sleeps for 10 ms more.
        handle.queue.onSubmittedWorkDone().catch(() => {});
        compiled.add(dispatch.pipeline);
      }
      this.#device.check();
      yield index + 1;
    }
    await handle.queue.onSubmittedWorkDone();
    this.#device.check();
  }

  /** Fills every working buffer but the borders of images with NaN, so that a kernel that misses an element shows. */
  poison(): void {
    for (const { index, size, border } of this.#plan.slots.slots) {
      const bytes = new Uint8Array(size).fill(0xff);
      if (border) clearBorder(bytes, border);
      this.#device.handle.queue.writeBuffer(this.#slots[index], 0, bytes);
    }
  }

  /** Fills an input from its start. */
  write(input: BufferHandle, data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): void {
    this.#device.handle.queue.writeBuffer(this.input(input), 0, data);
  }

  /** The buffer of an input. */
  input(input: BufferHandle): GPUBuffer {
    const buffer = this.#inputs.get(input.id);
    if (!buffer) throw new Error(`Cannot find the input "${input.label}"`);
    return buffer;
  }

  /** Draws the numbers of the next step; to be called before each step of a plan that has some. */
  draw(key: StepKey): void {
    const { draws } = this.#plan;
    if (draws.length === 0) return;
    const [{ buffer }] = draws;
    const values = new Float32Array(buffer.bytes / 4);
    this.#drawn = new Map(draws.map((draw) => [draw, draw.sample(key)]));
    for (const [{ offset }, value] of this.#drawn) values[offset / 4] = value;
    this.write(buffer, values);
  }

  /** Fills a `source` tensor with its physical layout. */
  writeSource(tensor: Tensor, data: Float32Array<ArrayBuffer>): void {
    const stored = this.#plan.kept.get(tensor)?.elementType === "f16" ? new Float16Array(data) : data;
    this.#device.handle.queue.writeBuffer(this.buffer(tensor), 0, stored);
  }

  /** The buffer of a source or of a tensor that the plan keeps. */
  buffer(tensor: Tensor): GPUBuffer {
    const image = this.#plan.kept.get(tensor);
    if (!image) throw new Error(`Cannot read "${tensor.name}": the plan does not keep it`);
    return this.#slots[this.#plan.slots.slotOf(image.buffer).index];
  }

  /** Records one step, without what its draws leave out. */
  encode(encoder: GPUCommandEncoder): void {
    for (const { draw, offset, size } of this.#plan.gatedGradients) {
      if (this.#valueOf(draw) === 0) encoder.clearBuffer(this.#variables.gradients, offset, size);
    }
    if (this.#preparedVersion !== this.#variables.version) {
      if (this.#parameterDispatches.length > 0) encodePass(encoder, this.#parameterDispatches);
      this.#preparedVersion = this.#variables.version;
    }
    encodePass(encoder, this.#running(this.#dispatches));
  }

  /** Records the dispatches from `first` to before `end`, as `kernels` counts them, in a pass of their own: to be timed. */
  encodePart(
    encoder: GPUCommandEncoder,
    part: { readonly first: number; readonly end: number; readonly timestampWrites?: GPUComputePassTimestampWrites },
  ): void {
    encodePass(encoder, this.#running(this.#dispatches.slice(part.first, part.end)), part.timestampWrites);
  }

  destroy(): void {
    for (const buffer of this.#slots) buffer.destroy();
    for (const buffer of this.#inputs.values()) buffer.destroy();
    for (const { release } of [...this.#dispatches, ...this.#parameterDispatches]) release();
    this.#claim[Symbol.dispose]();
  }

  #running(dispatches: readonly Dispatch[]): readonly Dispatch[] {
    const { conditions } = this.#plan;
    if (conditions.size === 0) return dispatches;
    return dispatches.filter(({ kernel }) =>
      conditions.get(kernel)?.every(({ draw, open }) => (this.#valueOf(draw) !== 0) === open) ?? true
    );
  }

  #valueOf(draw: Draw): number {
    const value = this.#drawn?.get(draw);
    if (value === undefined) throw new Error(`Cannot run a step: "${draw.name}" has not been drawn for it`);
    return value;
  }

  async #build(
    { repack, interlude }: { readonly repack: boolean; readonly interlude?: Interlude },
  ): Promise<void> {
    const seen = new Set<string>();
    for (const kernel of this.#plan.kernels) {
      const dispatch = await createDispatch(this.#device, kernel, (buffer) => this.#resolve(buffer));
      (kernel.parametersOnly && !repack ? this.#parameterDispatches : this.#dispatches).push(dispatch);
      const key = pipelineKey(kernel);
      if (!seen.has(key)) this.#distinct.push(dispatch);
      seen.add(key);
      await interlude?.();
    }
  }

  #resolve(handle: BufferHandle): GPUBuffer {
    const { parameters, gradients, velocities, states } = this.#plan.variables;
    switch (handle.id) {
      case parameters.id:
        return this.#variables.parameters;
      case gradients.id:
        return this.#variables.gradients;
      case velocities.id:
        return this.#variables.velocities;
      case states.id:
        return this.#variables.states;
    }
    return this.#inputs.get(handle.id) ?? this.#slots[this.#plan.slots.slotOf(handle).index];
  }
}

function clearBorder(images: Uint8Array, { height, width, halo, bytes }: Border): void {
  const pitch = (width + 2 * halo) * bytes;
  const imageBytes = (height + 2 * halo) * pitch;
  for (let start = 0; start < images.length; start += imageBytes) {
    images.fill(0, start, start + halo * pitch + halo * bytes);
    for (let row = start + halo * pitch; row < start + (halo + height) * pitch; row += pitch) {
      images.fill(0, row + (halo + width) * bytes, row + pitch + halo * bytes);
    }
    images.fill(0, start + (halo + height) * pitch, start + imageBytes);
  }
}

function encodePass(
  encoder: GPUCommandEncoder,
  dispatches: readonly Dispatch[],
  timestampWrites?: GPUComputePassTimestampWrites,
): void {
  const pass = encoder.beginComputePass({ timestampWrites });
  recordDispatches(pass, dispatches);
  pass.end();
}
