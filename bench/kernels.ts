/**
 * Kernels one by one, beside what the adapter can do at most. Each is checked against a double-precision reference
 * before it is timed; a wrong one ends the benchmark.
 */
import { openTuner, type TuningOptions } from "../src/engine/tuning.ts";
import { GpuDevice } from "../src/gpu/mod.ts";
import { type Ceilings, measureCeilings } from "./ceilings.ts";
import { conv2dCases } from "./conv2d_cases.ts";
import { fusedConv2dCases } from "./fused_conv2d_cases.ts";
import type { KernelHost, KernelRun } from "./kernel_run.ts";
import { type Measurement, summarise } from "./measure.ts";
import { memoryBoundCases } from "./memory_bound_cases.ts";
import { GpuTimer } from "./timer.ts";

export interface KernelBenchOptions extends TuningOptions {
  readonly batchSize: number;
  readonly runs: number;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
}

export interface KernelCase {
  readonly name: string;
  /** A feature without which there is no such kernel. */
  readonly needs?: string;
  /** Puts it on the GPU with random operands. */
  prepare(host: KernelHost): Promise<PreparedKernel>;
}

export interface PreparedKernel {
  readonly run: KernelRun;
  /** Of the operations that are timed; default: all. */
  readonly kind?: string;
  /** Bytes that have to be read or written at least once, without borders and padding. */
  readonly bytes: number;
  /** Absent where moving bytes is all there is to it: GB/s are told then, not GFLOP/s. */
  readonly multiplyAdds?: number;
  /** Of `error()`. */
  readonly tolerance: number;
  /** Runs it once. @returns ‖result − reference‖ / ‖reference‖, or Infinity where an element was not written. */
  error(): Promise<number>;
}

/** A kernel computed something else than its reference. */
export class WrongKernelError extends Error {
  override readonly name = "WrongKernelError";
  constructor(readonly kernel: string, readonly error: number, readonly tolerance: number) {
    super(`The kernel "${kernel}" is wrong: its relative error is ${error}, at most ${tolerance} is right`);
  }
}

/**
 * The ceilings, then every case.
 * @throws {WrongKernelError} before the wrong kernel is timed.
 */
export async function* benchKernels(options: KernelBenchOptions): AsyncGenerator<Measurement> {
  const { batchSize } = options;
  const cases = [...conv2dCases(batchSize), ...fusedConv2dCases(batchSize), ...memoryBoundCases(batchSize)];
  const wanted = cases.filter(({ name }) => options.matches(name));
  if (wanted.length === 0) return;
  const device = await GpuDevice.open();
  const tuner = await openTuner(device, options);
  const timer = await GpuTimer.create(device);
  try {
    const ceilings = await measureCeilings({ device, timer, runs: options.runs });
    yield* ceilings.lines;
    for (const kernel of wanted) {
      if (options.signal.aborted) return;
      if (kernel.needs && !device.adapter.features.includes(kernel.needs)) continue;
      yield await measure(kernel, { device, tuner, timer, ceilings, runs: options.runs });
    }
  } finally {
    timer.destroy();
    device.destroy();
  }
}

interface Bench extends KernelHost {
  readonly timer: GpuTimer;
  readonly ceilings: Ceilings;
  readonly runs: number;
}

/** @throws {WrongKernelError} */
export async function measure({ name, prepare }: KernelCase, bench: Bench): Promise<Measurement> {
  const { device, timer, ceilings, runs } = bench;
  const prepared = await prepare(bench);
  try {
    const { run, kind, bytes, multiplyAdds, tolerance } = prepared;
    const error = await prepared.error();
    device.check();
    if (!(error <= tolerance)) throw new WrongKernelError(name, error, tolerance);
    const times = await timer.samples((encoder) => run.encode(encoder, kind), runs);
    const about = { benchmark: "kernels", case: name, adapter: device.adapter.description };
    const bandwidth = summarise(times.map((ms) => bytes / ms / 1e6), { ...about, unit: "GB/s" });
    const details = {
      share_of_bandwidth: bandwidth.median / ceilings.copyBandwidth,
      relative_error: error,
      clock: timer.clock,
    };
    if (multiplyAdds === undefined) return { ...bandwidth, details };
    const speed = summarise(times.map((ms) => 2 * multiplyAdds / ms / 1e6), { ...about, unit: "GFLOP/s" });
    return { ...speed, details: { share_of_ceiling: speed.median / ceilings.multiplyAdds, ...details } };
  } finally {
    prepared.run.destroy();
  }
}
