import { driverFiles, type GpuDevice, Stopwatch } from "../device/mod.ts";
import type { Graph } from "../graph/graph.ts";
import type { Interlude } from "../graph/interlude.ts";
import type { Candidate, Question } from "../graph/kernel.ts";
import { planGraphPaced, type PlanOptions } from "../graph/plan.ts";
import { Choices } from "./choices.ts";
import { contest, type Trial } from "./contest.ts";
import { RandomFill } from "./random_fill.ts";
import { TrialStage } from "./trial_stage.ts";

/** Relative error beyond which a candidate's result is not the first one's, by how images are stored. */
const TOLERANCE = { f32: 1e-4, f16: 2e-2 } as const;

/** Candidates tried, of those to be tried. */
export interface TuningProgress {
  readonly done: number;
  readonly total: number;
}

/** A graph as it is to be planned. */
export interface TunedGraph {
  readonly graph: Graph;
  readonly options: Omit<PlanOptions, "choose">;
}

export interface TunerOptions {
  /** Where choices are kept. */
  readonly folder: string;
  /** Of Multistep: other kernels need other choices. */
  readonly version: string;
  /** Is told of choices that cannot be read or written, and of candidates that do not work. */
  readonly warn: (message: string) => void;
}

/**
 * Chooses the forms of operations by measuring them on the device, once for each question.
 *
 * The same choices give the same kernels and so the same bits; a different choice may change the last ones. Therefore a
 * choice that is made stays, for this adapter, driver and version: a run that is resumed goes on with the kernels that
 * it began with, as long as the folder is kept and tuning is not turned on or off in between.
 */
export class Tuner {
  readonly #device: GpuDevice;
  readonly #choices: Choices;
  readonly #warn: (message: string) => void;

  private constructor(device: GpuDevice, choices: Choices, warn: (message: string) => void) {
    this.#device = device;
    this.#choices = choices;
    this.#warn = warn;
  }

  static async open(device: GpuDevice, { folder, version, warn }: TunerOptions): Promise<Tuner> {
    const { vendor, architecture, device: name, description, subgroupSize } = device.adapter;
    const adapter = { vendor, architecture, device: name, description, subgroupSize };
    const choices = await Choices.open(folder, { adapter, drivers: driverFiles(), version }, warn);
    return new Tuner(device, choices, warn);
  }

  /** For PlanOptions: what was chosen, where that is known and still offered; else the first candidate. */
  readonly choose = ({ key, candidates }: Question): Candidate => {
    const chosen = this.#choices.get(key)?.chosen;
    return candidates.find(({ name }) => name === chosen) ?? candidates[0];
  };

  /**
   * Measures what plans of the graphs ask and nobody has answered, in the order of asking; plan them afterwards. Yields
   * before the first candidate and after each, so that other work goes on and an end is heard; the interlude is for the
   * planning before.
   * @throws {GpuError} when the device is lost.
   * @throws {MemoryLimitError} when a graph does not fit.
   */
  async *tune(graphs: readonly TunedGraph[], interlude?: Interlude): AsyncGenerator<TuningProgress> {
    const questions = await this.#openQuestions(graphs, interlude);
    const total = questions.reduce((sum, { candidates }) => sum + candidates.length, 0);
    if (total === 0) return;
    let done = 0;
    yield { done, total };
    const stopwatch = await Stopwatch.create(this.#device);
    const parts = { device: this.#device, stopwatch, fill: new RandomFill() };
    try {
      for (const question of questions) {
        if (this.#choices.get(question.key)) {
          // Another job has asked the same meanwhile.
          done += question.candidates.length;
          continue;
        }
        const stage = new TrialStage(parts, question);
        try {
          for await (const _tried of this.#settle(question, (candidate) => stage.prepare(candidate))) {
            yield { done: ++done, total };
          }
        } finally {
          stage.destroy();
        }
      }
    } finally {
      stopwatch.destroy();
    }
  }

  /** What is asked once and has an answer to be found. */
  async #openQuestions(graphs: readonly TunedGraph[], interlude?: Interlude): Promise<Question[]> {
    const open = new Map<string, Question>();
    const choose = (question: Question) => {
      const isOpen = question.candidates.length > 1 && !this.#choices.get(question.key);
      if (isOpen && !open.has(question.key)) open.set(question.key, question);
      return this.choose(question);
    };
    for (const { graph, options } of graphs) await planGraphPaced(graph, { ...options, choose }, interlude);
    return [...open.values()];
  }

  async *#settle(
    { key, candidates, elementTypes }: Question,
    prepare: (candidate: Candidate) => Promise<Trial>,
  ): AsyncGenerator<void> {
    const entrants = candidates.map((candidate) => ({
      name: candidate.name,
      prepare: () => prepare(candidate),
    }));
    const elementType = [...elementTypes.values()].includes("f16") ? "f16" : "f32";
    const choice = yield* contest(entrants, { tolerance: TOLERANCE[elementType] });
    for (const [name, reason] of Object.entries(choice.dropped)) {
      this.#warn(`Cannot use the kernels "${name}" for ${key}: ${reason}`);
    }
    try {
      await this.#choices.add(key, choice);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#warn(`Cannot keep the tuned choices, they will be made again by the next server: ${reason}`);
    }
  }
}
