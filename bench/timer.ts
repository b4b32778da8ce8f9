/** How long the GPU works: by its own time stamps where they can be trusted, else by the wall clock. */
import type { GpuDevice } from "../src/gpu/mod.ts";

/** Deno lets the promise of `onSubmittedWorkDone` sleep this long after the device is done. */
const PROMISE_SLEEP_MS = 10;
const WARM_UPS = 2;
/** Repetitions are counted so that one sample takes about this long: what is around it counts for little then. */
const SAMPLE_MS = { "timestamp-query": 8, "wall clock": 40 } as const;
const MOST_REPETITIONS = 200;

/** Records the work to be timed. */
export type Work = (encoder: GPUCommandEncoder) => void;

export class GpuTimer {
  readonly #device: GpuDevice;
  readonly #stamps: TimeStamps | undefined;

  private constructor(device: GpuDevice, stamps: TimeStamps | undefined) {
    this.#device = device;
    this.#stamps = stamps;
  }

  /** Proves the time stamps against the wall clock before it uses them. */
  static async create(device: GpuDevice): Promise<GpuTimer> {
    if (!device.handle.features.has("timestamp-query")) return new GpuTimer(device, undefined);
    const stamps = new TimeStamps(device);
    const tick = await tickLength(device, stamps);
    if (tick === undefined) {
      stamps.destroy();
      return new GpuTimer(device, undefined);
    }
    stamps.nanosecondsPerTick = tick;
    return new GpuTimer(device, stamps);
  }

  get clock(): keyof typeof SAMPLE_MS {
    return this.#stamps ? "timestamp-query" : "wall clock";
  }

  /** Nanoseconds of one tick of a time stamp; undefined where the wall clock serves. */
  get nanosecondsPerTick(): number | undefined {
    return this.#stamps?.nanosecondsPerTick;
  }

  /** Milliseconds of the work, `runs` samples of it, warmed up. */
  async samples(work: Work, runs: number): Promise<number[]> {
    for (let i = 0; i < WARM_UPS; i++) await this.#once(work, 1);
    const first = await this.#once(work, 1);
    const wanted = Math.ceil(SAMPLE_MS[this.clock] / Math.max(first, 1e-3));
    const repetitions = Math.max(1, Math.min(MOST_REPETITIONS, wanted));
    const samples: number[] = [];
    for (let run = 0; run < runs; run++) samples.push(await this.#once(work, repetitions) / repetitions);
    this.#device.check();
    return samples;
  }

  destroy(): void {
    this.#stamps?.destroy();
  }

  async #once(work: Work, repetitions: number): Promise<number> {
    const repeated: Work = (encoder) => {
      for (let i = 0; i < repetitions; i++) work(encoder);
    };
    if (this.#stamps) return (await this.#stamps.ticks(repeated)).ticks * this.#stamps.nanosecondsPerTick / 1e6;
    return await wallClock(this.#device, repeated);
  }
}

/** Milliseconds from submitting to the end. */
async function wallClock({ handle }: GpuDevice, work: Work): Promise<number> {
  const encoder = handle.createCommandEncoder();
  work(encoder);
  const commands = encoder.finish();
  const started = performance.now();
  handle.queue.submit([commands]);
  await handle.queue.onSubmittedWorkDone();
  return Math.max(1e-3, performance.now() - started - PROMISE_SLEEP_MS);
}

/** Two stamps, each written by an empty pass: one before the work, one behind it. */
class TimeStamps {
  nanosecondsPerTick = 1;
  readonly #device: GpuDevice;
  readonly #set: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;

  constructor(device: GpuDevice) {
    this.#device = device;
    this.#set = device.handle.createQuerySet({ type: "timestamp", count: 2 });
    const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    this.#resolved = device.createBuffer("time stamps", 16, QUERY_RESOLVE | COPY_SRC);
    this.#staging = device.createBuffer("time stamps read", 16, MAP_READ | COPY_DST);
  }

  async ticks(work: Work): Promise<{ readonly ticks: number; readonly wallMilliseconds: number }> {
    const { handle } = this.#device;
    const encoder = handle.createCommandEncoder();
    const querySet = this.#set;
    encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0 } }).end();
    work(encoder);
    encoder.beginComputePass({ timestampWrites: { querySet, endOfPassWriteIndex: 1 } }).end();
    encoder.resolveQuerySet(querySet, 0, 2, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 16);
    const commands = encoder.finish();
    const started = performance.now();
    handle.queue.submit([commands]);
    await handle.queue.onSubmittedWorkDone();
    const wallMilliseconds = performance.now() - started - PROMISE_SLEEP_MS;
    await this.#staging.mapAsync(GPUMapMode.READ);
    const [begin, end] = new BigUint64Array(this.#staging.getMappedRange().slice(0));
    this.#staging.unmap();
    return { ticks: Number(end - begin), wallMilliseconds };
  }

  destroy(): void {
    this.#set.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
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
    const pipeline = await device.pipeline(kernel);
    const entries = [{ binding: 0, resource: { buffer } }];
    const group = device.handle.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const work = (dispatches: number): Work => (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(...kernel.workgroups);
      pass.end();
    };
    const { wallMilliseconds } = await stamps.ticks(work(1));
    const dispatches = Math.max(1, Math.min(1000, Math.ceil(30 / Math.max(wallMilliseconds, 0.03))));
    const lengths: number[] = [];
    for (let proof = 0; proof < PROOFS; proof++) {
      const { ticks, wallMilliseconds } = await stamps.ticks(work(dispatches));
      lengths.push(wallMilliseconds * 1e6 / ticks);
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
