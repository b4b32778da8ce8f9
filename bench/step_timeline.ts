/** One training step, dispatch by dispatch, beside what JavaScript does meanwhile. */
import type { Kernel } from "../src/gpu/graph/kernel.ts";
import type { Plan } from "../src/gpu/mod.ts";
import type { NetworkSession } from "./network_session.ts";
import type { GpuTimer } from "./timer.ts";

export interface Span {
  readonly name: string;
  /** Microseconds from the step's start. */
  readonly start: number;
  readonly duration: number;
}

export interface DispatchSpan extends Span {
  /** The kind of operation: "conv2d_backward_weight". */
  readonly kind: string;
  /** What the operation writes: "stage1.block0.conv1". */
  readonly place: string;
  readonly workgroups: readonly [number, number, number];
}

export interface StepTimeline {
  readonly title: string;
  readonly adapter: string;
  readonly clock: string;
  readonly dispatches: readonly DispatchSpan[];
  readonly host: readonly Span[];
}

const WARM_UP_STEPS = 2;
/** A query set holds at most 4096 stamps. */
const DISPATCHES_A_SET = 2048;
/** Deno lets the promise of `onSubmittedWorkDone` sleep this long after the device is done. */
const PROMISE_SLEEP_MS = 10;

/**
 * Times a step after some to warm up. With time stamps every dispatch has a pass of its own within the one submit, and
 * the GPU's time is laid to begin with the submit; without, every dispatch is submitted and waited for.
 */
export async function timeStep(
  session: NetworkSession,
  timer: Pick<GpuTimer, "clock" | "nanosecondsPerTick">,
): Promise<StepTimeline> {
  const { model, batchSize } = session.options;
  for (let step = 0; step < WARM_UP_STEPS; step++) await session.runner.read(session.submit(session.gather(step)));
  const tick = timer.nanosecondsPerTick;
  const measured = tick === undefined ? await timeSubmits(session) : await timePasses(session, tick);
  return {
    title: `${model} batch ${batchSize}`,
    adapter: session.device.adapter.description,
    clock: timer.clock,
    ...measured,
  };
}

/** Milliseconds of GPU time a kind of operation, most first. */
export function timeByKind({ dispatches }: Pick<StepTimeline, "dispatches">) {
  const kinds = new Map<string, { microseconds: number; dispatches: number }>();
  for (const { kind, duration } of dispatches) {
    const sum = kinds.get(kind) ?? { microseconds: 0, dispatches: 0 };
    kinds.set(kind, { microseconds: sum.microseconds + duration, dispatches: sum.dispatches + 1 });
  }
  const total = dispatches.reduce((sum, { duration }) => sum + duration, 0);
  return [...kinds]
    .map(([kind, { microseconds, dispatches }]) => {
      return { kind, milliseconds: microseconds / 1000, share: microseconds / total, dispatches };
    })
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

type Measured = Pick<StepTimeline, "dispatches" | "host">;

async function timePasses(session: NetworkSession, nanosecondsPerTick: number): Promise<Measured> {
  const { device, runner, plan } = session;
  const { kernels } = runner.execution;
  const stamps = new DispatchStamps(device.handle, kernels.length);
  try {
    const host = new HostClock();
    const batch = host.time("gather images", () => session.gather(0));
    host.time("write inputs", () => session.write(batch));
    let encoded = 0;
    const ticket = runner.submitWritten((encoder) => {
      host.time("encode", () => {
        kernels.forEach((_, i) => {
          runner.execution.encodePart(encoder, { first: i, end: i + 1, timestampWrites: stamps.around(i) });
        });
        stamps.resolve(encoder);
      });
      encoded = host.now;
    });
    const submitted = host.now;
    host.spans.push({ name: "submit", start: encoded, duration: submitted - encoded });
    await host.timeAsync("read", () => runner.read(ticket));
    const ticks = await stamps.read();
    const microseconds = (stamp: bigint) => Number(stamp - ticks[0]) * nanosecondsPerTick / 1000;
    const dispatches = kernels.map((kernel, i) => {
      const [begin, end] = [microseconds(ticks[2 * i]), microseconds(ticks[2 * i + 1])];
      return dispatchSpan(kernel, plan, { start: submitted + begin, duration: end - begin });
    });
    return { dispatches, host: host.spans };
  } finally {
    stamps.destroy();
  }
}

async function timeSubmits(session: NetworkSession): Promise<Measured> {
  const { device: { handle }, runner: { execution }, plan } = session;
  const host = new HostClock();
  const batch = host.time("gather images", () => session.gather(0));
  host.time("write inputs", () => session.write(batch));
  const dispatches: DispatchSpan[] = [];
  for (const [i, kernel] of execution.kernels.entries()) {
    const commands = host.time("encode", () => {
      const encoder = handle.createCommandEncoder();
      execution.encodePart(encoder, { first: i, end: i + 1 });
      return encoder.finish();
    });
    host.time("submit", () => handle.queue.submit([commands]));
    const start = host.now;
    await handle.queue.onSubmittedWorkDone();
    const duration = Math.max(0, host.now - start - PROMISE_SLEEP_MS * 1000);
    dispatches.push(dispatchSpan(kernel, plan, { start, duration }));
  }
  return { dispatches, host: host.spans };
}

function dispatchSpan(kernel: Kernel, plan: Plan, time: { start: number; duration: number }): DispatchSpan {
  const operation = plan.origins.get(kernel);
  const written = operation?.outputs[0] ?? operation?.parameterGradients?.[0];
  return {
    name: kernel.label,
    kind: operation?.kind ?? "unknown",
    place: written?.name ?? "all parameters",
    workgroups: kernel.workgroups,
    ...time,
  };
}

/** Spans of JavaScript, in microseconds from its making. */
class HostClock {
  readonly spans: Span[] = [];
  readonly #origin = performance.now();

  get now(): number {
    return (performance.now() - this.#origin) * 1000;
  }

  time<T>(name: string, work: () => T): T {
    const start = this.now;
    const result = work();
    this.spans.push({ name, start, duration: this.now - start });
    return result;
  }

  async timeAsync<T>(name: string, work: () => Promise<T>): Promise<T> {
    const start = this.now;
    const result = await work();
    this.spans.push({ name, start, duration: this.now - start });
    return result;
  }
}

/** A stamp before and one behind each dispatch. */
class DispatchStamps {
  readonly #sets: readonly GPUQuerySet[];
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;

  constructor(device: GPUDevice, dispatches: number) {
    const sets = Math.ceil(dispatches / DISPATCHES_A_SET);
    this.#sets = Array.from({ length: sets }, (_, i) => {
      const count = 2 * Math.min(DISPATCHES_A_SET, dispatches - i * DISPATCHES_A_SET);
      return device.createQuerySet({ type: "timestamp", count });
    });
    const size = dispatches * 16;
    this.#resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    this.#staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  }

  around(dispatch: number): GPUComputePassTimestampWrites {
    const first = 2 * (dispatch % DISPATCHES_A_SET);
    return {
      querySet: this.#sets[Math.floor(dispatch / DISPATCHES_A_SET)],
      beginningOfPassWriteIndex: first,
      endOfPassWriteIndex: first + 1,
    };
  }

  resolve(encoder: GPUCommandEncoder): void {
    this.#sets.forEach((set, i) => {
      encoder.resolveQuerySet(set, 0, set.count, this.#resolved, i * DISPATCHES_A_SET * 16);
    });
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, this.#staging.size);
  }

  /** Begin and end of each dispatch, in ticks. */
  async read(): Promise<BigUint64Array> {
    await this.#staging.mapAsync(GPUMapMode.READ);
    const ticks = new BigUint64Array(this.#staging.getMappedRange().slice(0));
    this.#staging.unmap();
    return ticks;
  }

  destroy(): void {
    for (const set of this.#sets) set.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
  }
}
