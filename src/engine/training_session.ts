import type { DatasetDescription } from "../data/mod.ts";
import {
  averageName,
  decayScales,
  elementCount,
  type GpuDevice,
  type Interlude,
  type Variable,
  Variables,
} from "../gpu/mod.ts";
import type { BestEvaluation, Checkpoint, NamedTensor } from "../models/mod.ts";
import type { Batch } from "./batches.ts";
import type { CheckpointFolder } from "./checkpoint_folder.ts";
import { evaluationSteps } from "./evaluation.ts";
import type { RunFeeds } from "./feeds.ts";
import { imagesUsed, type Planned, type TrainingPlans } from "./fit.ts";
import { startingValues } from "./initial_checkpoint.ts";
import { EngineError, type Metrics, type TrainingConfig, type TrainingEvent } from "./messages.ts";
import { MetricSums, Speedometer } from "./metrics.ts";
import { undecayedRoles } from "./optimization.ts";
import { eventLoopTurn } from "./pace.ts";
import { datasetOf } from "./resume.ts";
import { pipelined, Runner } from "./runner.ts";
import { isEvaluated, learningRateOf, stepsPerEpoch, stepsToCheckpoint } from "./schedule.ts";
import { valuesOf } from "./trained_network.ts";
import type { StopSignals } from "./training.ts";

export interface SessionParts {
  readonly config: TrainingConfig;
  readonly folder: CheckpointFolder;
  readonly dataset: DatasetDescription;
  readonly plans: TrainingPlans;
  /** The session's own from now on: destroyed with it. */
  readonly feeds: RunFeeds;
  /** Where to go on; undefined: from the initial values. */
  readonly from?: Checkpoint;
  /** What has the initial values; undefined, or where it lacks them: random ones. */
  readonly initial?: Checkpoint;
}

interface SessionGpu {
  readonly variables: Variables;
  readonly full: Runner;
  readonly tail: Runner | undefined;
  readonly evaluation: Runner;
}

/**
 * A run on the GPU. Everything that a step depends on is the position (epoch, step in the epoch, step), the best
 * evaluation, and the variables; a checkpoint has all of it, so a session that starts from one repeats the rest.
 */
export class TrainingSession {
  readonly #parts: SessionParts;
  readonly #gpu: SessionGpu;
  readonly #stepsPerEpoch: number;
  /** The epoch of the next step. */
  #epoch: number;
  #stepInEpoch: number;
  #step: number;
  #best: BestEvaluation | undefined;
  /** The step that a resumed job would go on from. */
  #savedStep: number;

  private constructor(parts: SessionParts, gpu: SessionGpu) {
    this.#parts = parts;
    this.#gpu = gpu;
    this.#stepsPerEpoch = stepsPerEpoch(imagesUsed(parts.config, parts.dataset).train, parts.config);
    const { epoch, stepInEpoch, step } = parts.from?.position ?? { epoch: 0, stepInEpoch: 0, step: 0 };
    this.#epoch = epoch;
    this.#stepInEpoch = stepInEpoch;
    this.#step = this.#savedStep = step;
    this.#best = parts.from?.best;
  }

  /** @throws what the interlude throws. */
  static async create(device: GpuDevice, parts: SessionParts, interlude: Interlude): Promise<TrainingSession> {
    const { full, tail, evaluation } = parts.plans;
    const made: { destroy(): void }[] = Object.values(parts.feeds);
    const add = <T extends { destroy(): void }>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      const variables = add(await device.allocate(() => new Variables(device, full.plan)));
      const runner = async ({ program, plan }: Planned) =>
        add(await Runner.create(device, program, { plan, variables, interlude }));
      const gpu = {
        variables,
        full: await runner(full),
        tail: tail && await runner(tail),
        evaluation: await runner(evaluation),
      };
      await parts.feeds.train.connect?.(gpu.full);
      if (gpu.tail) await parts.feeds.train.connect?.(gpu.tail);
      await parts.feeds.test.connect?.(gpu.evaluation);
      return new TrainingSession(parts, gpu);
    } catch (error) {
      for (const part of made) part.destroy();
      throw error;
    }
  }

  /**
   * Compiles, then uploads the values to start from: compiling leaves garbage in the buffers.
   * @throws the signal's reason when aborted.
   */
  async *prepare(signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    const { full, tail, evaluation } = this.#gpu;
    const runners = [full, tail, evaluation].filter((runner) => runner !== undefined);
    const pipelinesTotal = runners.reduce((sum, runner) => sum + runner.pipelines, 0);
    const position = { step: this.#step, epoch: this.#epoch };
    this.#parts.feeds.train.begin?.(this.#epoch, this.#stepInEpoch);
    let before = 0;
    for (const runner of runners) {
      for await (const ready of runner.warmUp()) {
        signal.throwIfAborted();
        yield { kind: "preparing", ...position, pipelinesReady: before + ready, pipelinesTotal };
        await eventLoopTurn();
      }
      before += runner.pipelines;
    }
    this.#upload();
  }

  /** Trains to the end or to the pause. */
  async *train(stop: StopSignals): AsyncGenerator<TrainingEvent> {
    const { config } = this.#parts;
    while (this.#epoch < config.epochs && !stop.pause.aborted) {
      yield* this.#trainSteps(stop);
      if (this.#stepInEpoch === this.#stepsPerEpoch) yield* this.#endEpoch(stop.signal);
      else if (this.#step > this.#savedStep) yield* this.#save(this.#epoch, stop.signal);
    }
    if (this.#epoch < config.epochs) yield { kind: "paused", step: this.#step, epoch: this.#epoch };
  }

  destroy(): void {
    const { full, tail, evaluation, variables } = this.#gpu;
    full.destroy();
    tail?.destroy();
    evaluation.destroy();
    variables.destroy();
    for (const feed of Object.values(this.#parts.feeds)) feed.destroy();
  }

  #upload(): void {
    const { config, plans: { full: { program: { graph } } }, from, initial } = this.#parts;
    const { seed } = config;
    const { variables, full, tail } = this.#gpu;
    if (from) {
      variables.uploadParameters(valuesOf(from.parameters));
      variables.uploadStates(valuesOf(from.states));
      variables.uploadVelocities(valuesOf(from.velocities));
    } else {
      const parameters = startingValues(graph.parameters, seed, initial?.parameters);
      const averages = new Map([...parameters].map(([name, values]) => [averageName(name), values]));
      variables.uploadParameters(parameters);
      variables.uploadStates(new Map([...startingValues(graph.states, seed, initial?.states), ...averages]));
      variables.clearVelocities();
    }
    const scales = decayScales(graph, undecayedRoles(config));
    full.writeDecayScales(scales);
    tail?.writeDecayScales(scales);
  }

  /** Up to the next checkpoint, the end of the epoch or the pause. */
  async *#trainSteps(stop: StopSignals): AsyncGenerator<TrainingEvent> {
    const { config, feeds } = this.#parts;
    const { batchSize, seed } = config;
    const { variables, full, tail } = this.#gpu;
    const epoch = this.#epoch;
    const rateOf = (step: number) => learningRateOf(config, { step, stepsPerEpoch: this.#stepsPerEpoch });
    const speed = new Speedometer(performance.now());
    const totalSteps = config.epochs * this.#stepsPerEpoch;
    const range = { start: this.#stepInEpoch, count: stepsToCheckpoint(this.#step, config) };
    const batches = feeds.train.batches(epoch, range, stop.signal);
    let submitted = this.#step;
    const submit = (batch: Batch) => {
      const runner = batch.count === batchSize ? full : tail ?? full;
      const step = submitted++;
      const ticket = runner.submit(batch, { learningRate: rateOf(step), seed, epoch, step });
      variables.changed();
      return { runner, ticket };
    };
    for await (const { batch: { count }, output, dataWait } of pipelined(batches, submit, stop)) {
      const learningRate = rateOf(this.#step);
      this.#step++;
      this.#stepInEpoch++;
      const sums = new MetricSums();
      sums.add(output, count);
      const metrics = sums.means;
      if (!Number.isFinite(metrics.loss)) throw this.#diverged(`The loss became ${metrics.loss}`);
      const imagesPerSecond = speed.add(count, performance.now());
      const secondsLeft = (totalSteps - this.#step) * batchSize / imagesPerSecond;
      const progress = { metrics, learningRate, imagesPerSecond, dataWait, secondsLeft, totalSteps };
      yield { kind: "progress", step: this.#step, epoch, ...progress };
    }
  }

  async *#endEpoch(signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    const epoch = this.#epoch;
    if (isEvaluated(epoch, this.#parts.config)) {
      const metrics = await this.#evaluate(signal);
      if (isBetter(metrics, this.#best)) this.#best = { step: this.#step, top1: metrics.top1, loss: metrics.loss };
      yield { kind: "evaluation", step: this.#step, epoch, metrics };
    }
    this.#epoch++;
    this.#stepInEpoch = 0;
    yield* this.#save(epoch, signal);
  }

  async #evaluate(signal: AbortSignal): Promise<Metrics> {
    const { plans: { full: { program: { averages } } }, feeds } = this.#parts;
    using _averaged = averages && this.#gpu.variables.substitute(averages[0]);
    const sums = new MetricSums();
    const steps = evaluationSteps(this.#gpu.evaluation, feeds.test, signal);
    for await (const { batch: { count }, output } of steps) sums.add(output, count);
    return sums.means;
  }

  /** @param epoch That of the last step. */
  async *#save(epoch: number, signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    const { config, folder } = this.#parts;
    const position = { step: this.#step, epoch };
    await using staged = await folder.stage(await this.#snapshot());
    yield { kind: "checkpointing", ...position };
    signal.throwIfAborted();
    const written = await staged.publish(config.checkpointsKept);
    this.#savedStep = this.#step;
    yield { kind: "checkpoint", ...position, ...written, best: this.#best?.step === this.#step };
  }

  async #snapshot(): Promise<Checkpoint> {
    const { config, dataset, plans: { full: { program: { graph } } } } = this.#parts;
    const { variables } = this.#gpu;
    const parameters = await variables.downloadParameters();
    for (const [name, values] of parameters) {
      if (!values.every(Number.isFinite)) {
        throw this.#diverged(`"${name}" is not finite`);
      }
    }
    return {
      model: config.model,
      dataset: datasetOf(dataset),
      position: { seed: config.seed, epoch: this.#epoch, stepInEpoch: this.#stepInEpoch, step: this.#step },
      best: this.#best,
      configuration: config,
      parameters: withShapes(graph.parameters, parameters),
      states: withShapes(graph.states, await variables.downloadStates()),
      velocities: withShapes(graph.parameters, await variables.downloadVelocities()),
    };
  }

  #diverged(what: string): EngineError {
    const { config } = this.#parts;
    const range = config.precision === "mixed" ? ", or precision f32, whose range is wider" : "";
    return new EngineError(
      "diverged",
      `${what} at step ${this.#step}: training has diverged; try a learning rate below ${config.learningRate}${range}`,
    );
  }
}

function isBetter({ top1, loss }: Metrics, best: BestEvaluation | undefined): boolean {
  return !best || top1 > best.top1 || (top1 === best.top1 && loss < best.loss);
}

function withShapes(variables: readonly Variable[], values: ReadonlyMap<string, Float32Array<ArrayBuffer>>) {
  return new Map(variables.map(({ tensor: { name, shape } }): [string, NamedTensor] => {
    return [name, { shape, data: values.get(name) ?? new Float32Array(elementCount(shape)) }];
  }));
}
