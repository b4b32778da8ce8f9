/** A contest of candidates: who is right, and who of those is fastest. Knows nothing of GPUs. */
import { GpuError } from "../errors.ts";

/** Rounds in which every candidate is timed once; the shortest of its times counts, as disturbances only add. */
const ROUNDS = 8;
/** A candidate that is so many times slower than the best after a round is timed no more. */
const HOPELESS = 3;
/** What a candidate must gain over the first one, which noise alone must not depose. */
const GAIN = 0.03;

export interface Entrant {
  readonly name: string;
  /** @throws when it cannot run here. */
  prepare(): Promise<Trial>;
}

/** A candidate ready to run. */
export interface Trial {
  /** What it writes. */
  output(): Promise<Float32Array>;
  /** Milliseconds of running it once. */
  time(): Promise<number>;
  destroy(): void;
}

export interface Verdict {
  readonly chosen: string;
  /** Of those that gave the right result, in the order of the entrants. */
  readonly milliseconds: Readonly<Record<string, number>>;
  /** Those that did not, and why. */
  readonly dropped: Readonly<Record<string, string>>;
}

/**
 * Checks the entrants one after the other, and yields after each; then times them in turns, so that what slows the
 * machine down for a while slows down all. What the first one that runs writes is taken for right. Where none runs, the
 * first is chosen: its failure belongs to whoever uses it.
 *
 * @param options.tolerance Relative error ‖x - right‖ / ‖right‖ beyond which a result is wrong.
 * @throws {GpuError} when the device is lost.
 */
export async function* contest(
  entrants: readonly Entrant[],
  options: { readonly tolerance: number },
): AsyncGenerator<void, Verdict> {
  const trials = new Map<string, Trial>();
  const dropped: Record<string, string> = {};
  let right: Float32Array | undefined;
  try {
    for (const { name, prepare } of entrants) {
      let trial: Trial | undefined;
      try {
        trial = await prepare();
        const output = await trial.output();
        const error = relativeError(output, right ?? output);
        if (error > options.tolerance) throw new Error(`its result is off by ${error.toExponential(1)}`);
        right ??= output;
        trials.set(name, trial);
      } catch (error) {
        trial?.destroy();
        // Whatever else goes wrong is the candidate's fault, and no reason not to go on without it.
        if (error instanceof GpuError && error.failure === "lost") throw error;
        dropped[name] = error instanceof Error ? error.message : String(error);
      }
      yield;
    }
    const milliseconds = await timeInTurns(trials);
    return { chosen: fastest(milliseconds) ?? entrants[0].name, milliseconds, dropped };
  } finally {
    for (const trial of trials.values()) trial.destroy();
  }
}

async function timeInTurns(trials: ReadonlyMap<string, Trial>): Promise<Record<string, number>> {
  const milliseconds: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    const best = Math.min(...Object.values(milliseconds));
    for (const [name, trial] of trials) {
      const before = milliseconds[name] ?? Infinity;
      if (round > 0 && before > HOPELESS * best) continue;
      milliseconds[name] = Math.min(before, await trial.time());
    }
  }
  return milliseconds;
}

/** The first, unless another gains enough over it. */
function fastest(milliseconds: Readonly<Record<string, number>>): string | undefined {
  const [first, ...others] = Object.entries(milliseconds);
  if (!first) return undefined;
  const [best] = others.sort(([, a], [, b]) => a - b);
  return best && best[1] < (1 - GAIN) * first[1] ? best[0] : first[0];
}

/** ‖x - right‖ / ‖right‖; Infinity where x holds what is no number. */
function relativeError(x: Float32Array, right: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < right.length; i++) {
    difference += (x[i] - right[i]) ** 2;
    norm += right[i] ** 2;
  }
  if (difference === 0) return 0;
  const error = Math.sqrt(difference / norm);
  return Number.isNaN(error) ? Infinity : error;
}
