/** How long a kernel takes, by samples long enough to be exact. */
import type { GpuDevice } from "../src/gpu/mod.ts";
import { Stopwatch, type Work } from "../src/gpu/device/mod.ts";

const WARM_UPS = 2;
/** Repetitions are counted so that one sample takes about this long: what is around it counts for little then. */
const SAMPLE_MS = { "timestamp-query": 8, "wall clock": 40 } as const;
const MOST_REPETITIONS = 200;

export class GpuTimer {
  readonly #stopwatch: Stopwatch;

  private constructor(stopwatch: Stopwatch) {
    this.#stopwatch = stopwatch;
  }

  static async create(device: GpuDevice): Promise<GpuTimer> {
    return new GpuTimer(await Stopwatch.create(device));
  }

  static byWallClock(device: GpuDevice): GpuTimer {
    return new GpuTimer(Stopwatch.byWallClock(device));
  }

  get clock(): keyof typeof SAMPLE_MS {
    return this.#stopwatch.clock;
  }

  /** Nanoseconds of one tick of a time stamp; undefined where the wall clock serves. */
  get nanosecondsPerTick(): number | undefined {
    return this.#stopwatch.nanosecondsPerTick;
  }

  /** Milliseconds of the work, `runs` samples of it, warmed up. */
  async samples(work: Work, runs: number): Promise<number[]> {
    for (let i = 0; i < WARM_UPS; i++) await this.#once(work, 1);
    const wanted = Math.ceil(SAMPLE_MS[this.clock] / await this.#once(work, 1));
    const repetitions = Math.min(MOST_REPETITIONS, wanted);
    const samples: number[] = [];
    for (let run = 0; run < runs; run++) samples.push(await this.#once(work, repetitions) / repetitions);
    return samples;
  }

  destroy(): void {
    this.#stopwatch.destroy();
  }

  async #once(work: Work, repetitions: number): Promise<number> {
    return await this.#stopwatch.time((encoder) => {
      for (let i = 0; i < repetitions; i++) work(encoder);
    });
  }
}
