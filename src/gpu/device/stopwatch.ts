/** How long the GPU works: by its own time stamps where they can be trusted, else by the wall clock. */
import type { GpuDevice } from "./gpu_device.ts";
import { createPipeline } from "./pipelines.ts";
import { ReadBackRing } from "./read_back.ts";

/** Deno lets the promise of `onSubmittedWorkDone` sleep this long after the device is done. */
const PROMISE_SLEEP_MS = 10;

/** Records the work to be timed. */
export type Work = (encoder: GPUCommandEncoder) => void;

export class Stopwatch {
  readonly #device: GpuDevice;
  readonly #stamps: TimeStamps | undefined;
  readonly #tick: number;

  private constructor(device: GpuDevice, stamped?: { readonly stamps: TimeStamps; readonly tick: number }) {
    this.#device = device;
    this.#stamps = stamped?.stamps;
    this.#tick = stamped?.tick ?? 1;
  }

  /** Proves the time stamps against the wall clock before it uses them. */
  static async create(device: GpuDevice): Promise<Stopwatch> {
    if (!device.handle.features.has("timestamp-query")) return Stopwatch.byWallClock(device);
    const stamps = await TimeStamps.create(device);
    const tick = await tickLength(device, stamps);
    if (tick !== undefined) return new Stopwatch(device, { stamps, tick });
    stamps.destroy();
    return Stopwatch.byWallClock(device);
  }

  static byWallClock(device: GpuDevice): Stopwatch {
    return new Stopwatch(device);
  }

  get clock(): "timestamp-query" | "wall clock" {
    return this.#stamps ? "timestamp-query" : "wall clock";
  }

  /** Nanoseconds of one tick of a time stamp; undefined where the wall clock serves. */
  get nanosecondsPerTick(): number | undefined {
    return this.#stamps && this.#tick;
  }

  /**
   * Submits the work and waits for it.
   * @returns milliseconds, more than 0.
   * @throws {GpuError} when the device failed.
   */
  async time(work: Work): Promise<number> {
    const milliseconds = this.#stamps
      ? (await this.#stamps.ticks(work)).ticks * this.#tick / 1e6
      : await wallClock(this.#device, work);
    this.#device.check();
    return Math.max(1e-6, milliseconds);
  }

  destroy(): void {
    this.#stamps?.destroy();
  }
}

/** Milliseconds from submitting to the end. */
async function wallClock({ handle }: GpuDevice, work: Work): Promise<number> {
  const encoder = handle.createCommandEncoder();
  work(encoder);
  const commands = encoder.finish();
  // What others have submitted must not be counted.
  await handle.queue.onSubmittedWorkDone();
  const started = performance.now();
  handle.queue.submit([commands]);
  await handle.queue.onSubmittedWorkDone();
  return performance.now() - started - PROMISE_SLEEP_MS;
}

/** Two stamps, each written by an empty pass: one before the work, one behind it. */
class TimeStamps {
  readonly #device: GpuDevice;
  readonly #ring: ReadBackRing;
  readonly #set: GPUQuerySet;
  readonly #resolved: GPUBuffer;

  private constructor(device: GpuDevice, ring: ReadBackRing) {
    this.#device = device;
    this.#ring = ring;
    this.#set = device.handle.createQuerySet({ type: "timestamp", count: 2 });
    this.#resolved = device.createBuffer("time stamps", 16, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
  }

  static async create(device: GpuDevice): Promise<TimeStamps> {
    return new TimeStamps(device, await ReadBackRing.create(device, { bytes: 16, depth: 1 }));
  }

  async ticks(work: Work): Promise<{ readonly ticks: number; readonly wallMilliseconds: number }> {
    const { handle } = this.#device;
    const encoder = handle.createCommandEncoder();
    const querySet = this.#set;
    encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0 } }).end();
    work(encoder);
    encoder.beginComputePass({ timestampWrites: { querySet, endOfPassWriteIndex: 1 } }).end();
    encoder.resolveQuerySet(querySet, 0, 2, this.#resolved, 0);
    const ticket = this.#ring.copy(encoder, this.#resolved, 16);
    const commands = encoder.finish();
    const started = performance.now();
    handle.queue.submit([commands]);
    const [begin, end] = new BigUint64Array(await this.#ring.read(ticket));
    return { ticks: Number(end - begin), wallMilliseconds: performance.now() - started };
  }

  destroy(): void {
    this.#ring.destroy();
    this.#set.destroy();
    this.#resolved.destroy();
  }
}

const PROOFS = 5;
/** How far stamps and wall clock may differ: the wall clock also counts the way to the driver. */
const AGREEMENT = 0.2;

/**
 * Nanoseconds of a tick, by work of some tens of milliseconds. WebGPU says 1, but wgpu hands on the driver's own ticks,
 * so a steady other length is taken as it is.
 * @returns undefined where stamps and wall clock do not run together.
 */
async function tickLength(device: GpuDevice, stamps: TimeStamps): Promise<number | undefined> {
  const buffer = device.createBuffer("time stamps proof", 64 * 1024, GPUBufferUsage.STORAGE);
  try {
    const kernel = { label: "time stamps proof", code: busyLoop, bindings: [], workgroups: [256, 1, 1] as const };
    const pipeline = await createPipeline(device.handle, kernel);
    const entries = [{ binding: 0, resource: { buffer } }];
    const group = device.handle.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const work = (dispatches: number): Work => (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(...kernel.workgroups);
      pass.end();
    };
    // The first compiles; what nothing takes is the way there and back.
    await stamps.ticks(work(1));
    const { wallMilliseconds: overhead } = await stamps.ticks(work(0));
    const { wallMilliseconds: once } = await stamps.ticks(work(1));
    const dispatches = Math.max(1, Math.min(1000, Math.ceil(30 / Math.max(once - overhead, 0.03))));
    const lengths: number[] = [];
    for (let proof = 0; proof < PROOFS; proof++) {
      const { ticks, wallMilliseconds } = await stamps.ticks(work(dispatches));
      lengths.push((wallMilliseconds - overhead) * 1e6 / ticks);
    }
    const [least, , middle, , most] = lengths.sort((a, b) => a - b);
    if (Math.abs(middle - 1) <= AGREEMENT) return 1;
    return Number.isFinite(most) && least > 0 && most / least <= 1 + AGREEMENT ? middle : undefined;
  } finally {
    buffer.destroy();
  }
}

const busyLoop = `
@group(0) @binding(0) var<storage, read_write> results: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var sum = f32(id.x);
  for (var i = 0u; i < 2000u; i++) { sum = fma(sum, 0.999, 0.1); }
  results[id.x] = sum;
}
`;
