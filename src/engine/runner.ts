/** A program on the GPU: batches in, results out, some steps in flight. */
import {
  type BatchGather,
  encodeStep,
  Execution,
  type GpuDevice,
  GpuError,
  type Interlude,
  MemoryLimitError,
  mixupShare,
  type Plan,
  planGraphPaced,
  type PlanOptions,
  ReadBackRing,
  type ReadBackTicket,
  type ResidentImages,
  type Tuner,
  Variables,
} from "../gpu/mod.ts";
import type { Batch } from "./batches.ts";
import { eventLoopTurn } from "./pace.ts";
import type { Program } from "./programs.ts";

/**
 * Steps submitted before their results are read: Deno waits for everything submitted whatever is read, so results are
 * read together, and the queue runs dry once for all of them. Few enough to stop soon.
 */
export const STEPS_IN_FLIGHT = 3;

export interface StepArguments {
  readonly learningRate: number;
  readonly seed: number;
  readonly epoch: number;
  /** Counted over all epochs. */
  readonly step: number;
}

export class Runner {
  readonly #device: GpuDevice;
  readonly #program: Program;
  readonly #execution: Execution;
  readonly #ring: ReadBackRing;
  readonly #outputBytes: number;
  #gather: BatchGather | undefined;

  private constructor(device: GpuDevice, program: Program, execution: Execution, ring: ReadBackRing, bytes: number) {
    this.#device = device;
    this.#program = program;
    this.#execution = execution;
    this.#ring = ring;
    this.#outputBytes = bytes;
  }

  /** @throws {GpuError} when the GPU refuses a part of it. */
  static async create(
    device: GpuDevice,
    program: Program,
    options: { readonly plan: Plan; readonly variables: Variables; readonly interlude?: Interlude },
  ): Promise<Runner> {
    const { plan, variables, interlude } = options;
    const repack = program.graph.options.training;
    const execution = await Execution.create(device, plan, { variables, repack, interlude });
    try {
      const bytes = outputBytes(plan, program);
      const ring = await ReadBackRing.create(device, { bytes, depth: STEPS_IN_FLIGHT });
      return new Runner(device, program, execution, ring, bytes);
    } catch (error) {
      execution.destroy();
      throw error;
    }
  }

  get pipelines(): number {
    return this.#execution.pipelines;
  }

  /** The step's dispatches, one by one. */
  get execution(): Execution {
    return this.#execution;
  }

  /** See Execution.warmUp: comes before variables are uploaded. */
  warmUp(): AsyncGenerator<number> {
    return this.#execution.warmUp();
  }

  /** Fills what stays the same from step to step; after the warm-up. */
  writeDecayScales(scales: Float32Array<ArrayBuffer>): void {
    if (this.#program.decayScales) this.#execution.write(this.#program.decayScales, scales);
  }

  /**
   * Makes it take batches of images that are on the GPU.
   * @throws {GpuError} when the GPU refuses a part of it.
   */
  async connect(images: ResidentImages): Promise<void> {
    const { pixels, examples, labels } = this.#program;
    if (!labels) throw new Error("Cannot connect a program without labels to a data set");
    this.#gather = await images.gather(this.#execution, { pixels, examples, labels }, this.#program.output.shape[0]);
  }

  /** Fills the inputs of the next step, but for what is gathered on the GPU. */
  write(batch: Batch, step: StepArguments): void {
    const { pixels, examples, labels } = this.#program;
    if ("pixels" in batch) {
      this.#execution.write(pixels, batch.pixels);
      this.#execution.write(examples, batch.examples);
      if (labels) this.#execution.write(labels, batch.labels);
    } else {
      this.#connected().write(batch);
    }
    const { mixupAlpha } = this.#program;
    const share = mixupAlpha === undefined ? 0 : mixupShare(mixupAlpha, step);
    this.#execution.write(this.#program.step, encodeStep({ ...step, mixupShare: share }));
    this.#execution.draw(step);
  }

  /** Submits one step; the ticket gives its output. */
  submit(batch: Batch, step: StepArguments): ReadBackTicket {
    this.write(batch, step);
    return this.submitWritten((encoder) => {
      if (!("pixels" in batch)) this.#connected().encode(encoder);
      this.#execution.encode(encoder);
    });
  }

  /** Submits what `encode` records, in place of a step: to be timed. The inputs are those last written. */
  submitWritten(encode: (encoder: GPUCommandEncoder) => void): ReadBackTicket {
    const encoder = this.#device.handle.createCommandEncoder();
    encode(encoder);
    const output = this.#execution.buffer(this.#program.output);
    const ticket = this.#ring.copy(encoder, output, this.#outputBytes);
    this.#device.handle.queue.submit([encoder.finish()]);
    return ticket;
  }

  /** Waits for a step's output: rows of the output tensor, padded to quads. */
  async read(ticket: ReadBackTicket): Promise<Float32Array> {
    const bytes = await this.#ring.read(ticket);
    this.#device.check();
    return new Float32Array(bytes);
  }

  destroy(): void {
    this.#ring.destroy();
    this.#execution.destroy();
    this.#gather?.destroy();
  }

  #connected(): BatchGather {
    if (!this.#gather) throw new Error("Cannot take a batch of images on the GPU: the runner is connected to none");
    return this.#gather;
  }
}

/** Of the ring that a runner reads its outputs through. */
export function stagingBytes(plan: Plan, program: Pick<Program, "output">): number {
  return STEPS_IN_FLIGHT * outputBytes(plan, program);
}

function outputBytes({ kept, slots }: Plan, { output }: Pick<Program, "output">): number {
  const image = kept.get(output);
  if (!image) throw new Error(`Cannot read "${output.name}": the plan does not keep it`);
  return slots.slotOf(image.buffer).size;
}

/**
 * Plans a program with the kernels chosen for the device, or with the built-in ones where those alone fit.
 * @throws {GpuError} `unsupported` for mixed precision where kernels cannot store f16.
 * @throws {MemoryLimitError} when it does not fit.
 */
export async function planProgram(
  { device, tuner }: PlanningContext,
  program: Pick<Program, "graph" | "output">,
  interlude?: Interlude,
): Promise<Plan> {
  const options = planOptions(device, program);
  if (!tuner) return await planGraphPaced(program.graph, options, interlude);
  try {
    return await planGraphPaced(program.graph, { ...options, choose: tuner.choose }, interlude);
  } catch (error) {
    if (!(error instanceof MemoryLimitError)) throw error;
    return await planGraphPaced(program.graph, options, interlude);
  }
}

/** What a plan depends on besides the program. */
export interface PlanningContext {
  readonly device: Pick<GpuDevice, "adapter" | "target" | "memoryBudget">;
  /** Absent where kernels are the built-in choices. */
  readonly tuner?: Pick<Tuner, "choose">;
}

/**
 * How a program is planned, whatever its kernels are.
 * @throws {GpuError} `unsupported` for mixed precision where kernels cannot store f16.
 */
export function planOptions(
  device: PlanningContext["device"],
  program: Pick<Program, "graph" | "output">,
): Omit<PlanOptions, "choose"> {
  const { description, device: name, features } = device.adapter;
  if (program.graph.options.precision === "mixed" && !features.includes("shader-f16")) {
    throw new GpuError(
      "unsupported",
      `Cannot train in mixed precision on ${description || name}: it has no "shader-f16"; use precision f32`,
    );
  }
  return { target: device.target, keep: [program.output], memoryBudget: device.memoryBudget };
}

/** A step that was submitted with a batch, and what came of it. */
export interface FinishedStep<B extends Batch = Batch> {
  readonly batch: B;
  readonly output: Float32Array;
  /** Seconds it waited for its batch. */
  readonly dataWait: number;
}

/**
 * Submits a step for each batch and yields the outputs in order, STEPS_IN_FLIGHT at a time. Between steps it lets the
 * event loop run, so that other calls and aborts are heard.
 * @param stop.pause Once aborted, no further batch is asked for; the steps in flight are finished.
 * @throws the reason of `stop.signal` when that is aborted.
 */
export async function* pipelined<B extends Batch>(
  batches: AsyncIterable<B>,
  submit: (batch: B) => { readonly runner: Runner; readonly ticket: ReadBackTicket },
  { signal, pause }: { readonly signal: AbortSignal; readonly pause?: AbortSignal },
): AsyncGenerator<FinishedStep<B>> {
  const inFlight: (Omit<FinishedStep<B>, "output"> & { runner: Runner; ticket: ReadBackTicket })[] = [];
  const next = async () => {
    const { batch, dataWait, runner, ticket } = inFlight.shift() as typeof inFlight[number];
    return { batch, dataWait, output: await runner.read(ticket) };
  };
  const source = batches[Symbol.asyncIterator]();
  try {
    while (!pause?.aborted) {
      const asked = performance.now();
      const { done, value: batch } = await source.next();
      if (done) break;
      const dataWait = (performance.now() - asked) / 1000;
      signal.throwIfAborted();
      inFlight.push({ batch, dataWait, ...submit(batch) });
      if (inFlight.length === STEPS_IN_FLIGHT) {
        while (inFlight.length > 0) yield await next();
      }
      await eventLoopTurn();
    }
    while (inFlight.length > 0) yield await next();
  } finally {
    await source.return?.();
    // An early end leaves submitted steps behind; their staging buffers must be free before the next use.
    while (inFlight.length > 0) await next();
  }
}
