/** The buffers on which a question's candidates run: the same inputs for all, filled at random. */
import type { ElementType } from "../../wgsl/mod.ts";
import { type GpuDevice, ReadBackRing, type Stopwatch } from "../device/mod.ts";
import { GpuError, MemoryLimitError } from "../errors.ts";
import { createDispatch, type Dispatch, recordDispatches } from "../graph/dispatch.ts";
import type { BufferHandle, Candidate, Kernel, Question, ScratchAllocator } from "../graph/kernel.ts";
import type { Trial } from "./contest.ts";
import type { RandomFill } from "./random_fill.ts";
import { TrialBuffers } from "./trial_buffers.ts";

const GATHERED_USAGE = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
/** Repetitions are counted so that one sample takes about this long. */
const SAMPLE_MS = { "timestamp-query": 2, "wall clock": 20 } as const;
const MAX_REPETITIONS = 64;

export interface StageParts {
  readonly device: GpuDevice;
  readonly stopwatch: Stopwatch;
  readonly fill: RandomFill;
}

/** A part of a buffer that a candidate writes. */
interface OutputRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
  readonly elementType: ElementType;
}

export class TrialStage {
  readonly #parts: StageParts;
  readonly #question: Question;
  /** What candidates read and write, by the plan's handles. */
  readonly #shared: TrialBuffers;

  constructor(parts: StageParts, question: Question) {
    this.#parts = parts;
    this.#question = question;
    this.#shared = new TrialBuffers(parts.device);
  }

  /**
   * Builds a candidate's pipelines and buffers.
   * @throws {MemoryLimitError} when one of its buffers cannot be bound, or there is no room for it.
   * @throws {GpuError} when the driver refuses a part of it.
   */
  async prepare(candidate: Candidate): Promise<Trial> {
    const { device } = this.#parts;
    const memory = new TrialMemory(device.target.maxStorageBindingBytes);
    const kernels = candidate.lower(memory);
    const own = new TrialBuffers(device);
    const all: Dispatch[] = [];
    const destroy = () => {
      for (const { release } of all) release();
      own.destroy();
    };
    try {
      await this.#createBuffers(kernels, { memory, own });
      const bufferOf = (handle: BufferHandle) => (memory.own.has(handle) ? own : this.#shared).get(handle);
      const counted: Dispatch[] = [];
      for (const kernel of kernels) {
        const dispatch = await createDispatch(device, kernel, bufferOf);
        all.push(dispatch);
        if (this.#question.repack || !kernel.parametersOnly) counted.push(dispatch);
      }
      const outputs = this.#outputsOf(kernels, memory);
      return { output: () => this.#output(all, outputs), time: this.#timer(counted), destroy };
    } catch (error) {
      destroy();
      throw error;
    }
  }

  destroy(): void {
    this.#shared.destroy();
  }

  async #createBuffers(
    kernels: readonly Kernel[],
    { memory, own }: { readonly memory: TrialMemory; readonly own: TrialBuffers },
  ): Promise<void> {
    const { device, fill } = this.#parts;
    const bindings = kernels.flatMap(({ bindings }) => bindings);
    const placeOf = (handle: BufferHandle) => memory.own.has(handle) ? own : this.#shared;
    const missing = new Set(bindings.map(({ buffer }) => buffer).filter((handle) => !placeOf(handle).has(handle)));
    device.requireRoom("A trial of kernels", [...missing].reduce((sum, { bytes }) => sum + bytes, 0));
    // What does not fit is the candidate's failure, not the device's.
    device.handle.pushErrorScope("out-of-memory");
    for (const { buffer: handle, access } of bindings) {
      const place = placeOf(handle);
      if (place.has(handle)) continue;
      const created = place.create(handle);
      if (place === this.#shared && access !== "read_write") fill.write(device, created, this.#elementType(handle));
    }
    const error = await device.handle.popErrorScope();
    if (error) throw new GpuError("out-of-memory", error.message);
  }

  #outputsOf(kernels: readonly Kernel[], memory: TrialMemory): OutputRange[] {
    const ranges = new Map<string, OutputRange>();
    for (const { buffer, access, offset = 0, size = buffer.bytes - offset } of kernels.flatMap((k) => k.bindings)) {
      if (access !== "read_write" || memory.own.has(buffer)) continue;
      const elementType = this.#elementType(buffer);
      const range = { buffer: this.#shared.get(buffer), offset, size, elementType };
      ranges.set(`${buffer.id} ${offset} ${size}`, range);
    }
    return [...ranges.values()];
  }

  /** Runs once over zeros, so that a place that should be written and is not shows. */
  async #output(dispatches: readonly Dispatch[], outputs: readonly OutputRange[]): Promise<Float32Array> {
    const { device } = this.#parts;
    const bytes = outputs.reduce((sum, { size }) => sum + size, 0);
    // The outputs once more, and a buffer to read them from.
    device.requireRoom("The results of a trial of kernels", 2 * bytes);
    using _claim = device.claim(2 * bytes);
    const gathered = device.createBuffer("trial outputs", bytes, GATHERED_USAGE);
    const ring = await ReadBackRing.create(device, { bytes, depth: 1 });
    try {
      const encoder = device.handle.createCommandEncoder();
      for (const { buffer, offset, size } of outputs) encoder.clearBuffer(buffer, offset, size);
      const pass = encoder.beginComputePass();
      recordDispatches(pass, dispatches);
      pass.end();
      let at = 0;
      for (const { buffer, offset, size } of outputs) {
        encoder.copyBufferToBuffer(buffer, offset, gathered, at, size);
        at += size;
      }
      const ticket = ring.copy(encoder, gathered, bytes);
      device.handle.queue.submit([encoder.finish()]);
      const content = await ring.read(ticket);
      device.check();
      return toFloats(content, outputs);
    } finally {
      ring.destroy();
      gathered.destroy();
    }
  }

  #elementType(handle: BufferHandle): ElementType {
    return this.#question.elementTypes.get(handle) ?? "f32";
  }

  /** Times as many repetitions together as make the stopwatch exact; the first time of all finds out how many. */
  #timer(dispatches: readonly Dispatch[]): () => Promise<number> {
    const { stopwatch } = this.#parts;
    const time = async (repetitions: number) =>
      await stopwatch.time((encoder) => {
        const pass = encoder.beginComputePass();
        for (let i = 0; i < repetitions; i++) recordDispatches(pass, dispatches);
        pass.end();
      }) / repetitions;
    let repetitions: number | undefined;
    return async () => {
      repetitions ??= Math.min(MAX_REPETITIONS, Math.ceil(SAMPLE_MS[stopwatch.clock] / await time(1)));
      return await time(repetitions);
    };
  }
}

/** Scratch buffers of one candidate. */
class TrialMemory implements ScratchAllocator {
  readonly own = new Set<BufferHandle>();

  constructor(readonly limit: number) {}

  scratch(label: string, bytes: number): BufferHandle {
    if (bytes > this.limit) throw new MemoryLimitError(`One binding (${label})`, bytes, this.limit);
    const handle = { id: this.own.size, label, bytes: Math.ceil(bytes / 16) * 16 };
    this.own.add(handle);
    return handle;
  }

  packed(label: string, bytes: number): BufferHandle {
    return this.scratch(label, bytes);
  }

  choose(_key: string, candidates: readonly Candidate[]): Candidate {
    return candidates[0];
  }
}

/** The values of the ranges, which lie one behind the other. */
function toFloats(content: ArrayBuffer, outputs: readonly OutputRange[]): Float32Array {
  let at = 0;
  const parts = outputs.map(({ size, elementType }) => {
    const part = content.slice(at, at += size);
    return elementType === "f16" ? Float32Array.from(new Float16Array(part)) : new Float32Array(part);
  });
  if (parts.length === 1) return parts[0];
  const values = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let length = 0;
  for (const part of parts) {
    values.set(part, length);
    length += part.length;
  }
  return values;
}
