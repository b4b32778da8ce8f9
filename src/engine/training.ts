import type { DatasetDescription, LabelledImages } from "../data/mod.ts";
import { decayScales, elementCount, type Variable, Variables } from "../gpu/mod.ts";
import { type Checkpoint, initialValues, type NamedTensor, type TrainingPosition } from "../models/mod.ts";
import { epochBatches, gatherBatch, limitImages } from "./batches.ts";
import { writeCheckpoint } from "./checkpoint_files.ts";
import type { EngineContext } from "./context.ts";
import { evaluationBatches } from "./evaluation.ts";
import { type Planned, planTraining, type TrainingPlans } from "./fit.ts";
import { EngineError, type TrainingConfig, type TrainingEvent, type TrainingJob } from "./messages.ts";
import { MetricSums, Speedometer } from "./metrics.ts";
import { eventLoopTurn, pipelined, Runner } from "./runner.ts";
import { tunePrograms } from "./tuning.ts";

/**
 * Trains a network from its initial values to the last epoch: progress after every step, an evaluation and a checkpoint
 * after epochs.
 *
 * @throws {EngineError} when the configuration does not fit or the loss is not finite.
 * @throws the signal's reason when aborted.
 */
export async function* train(
  context: EngineContext,
  job: TrainingJob,
  signal: AbortSignal,
): AsyncGenerator<TrainingEvent> {
  const { config } = job;
  const dataset = await context.datasets.describe(config.dataset);
  // Before anything is measured: what does not fit is told at once.
  let plans = await planTraining(context, config, dataset);
  const programs = [plans.full, plans.tail, plans.evaluation].flatMap((planned) => planned?.program ?? []);
  // All of them, the rare last batch too: what is left to a later run could change this one's kernels when it resumes.
  let isTuned = false;
  for await (const tuning of tunePrograms(context, programs, signal)) {
    isTuned = true;
    yield { kind: "preparing", step: 0, epoch: 0, tuning, pipelinesReady: 0, pipelinesTotal: 0 };
  }
  if (isTuned) plans = await planTraining(context, config, dataset);
  const images = {
    train: limitImages(await context.datasets.load(config.dataset, "train"), config.limitTrain),
    test: limitImages(await context.datasets.load(config.dataset, "test"), config.limitTest),
  };
  const session = await TrainingSession.create(context, { job, dataset, plans, images });
  try {
    yield* session.prepare(signal);
    for (let epoch = 0; epoch < config.epochs; epoch++) {
      yield* session.trainEpoch(epoch, signal);
      if (isEvaluated(epoch, config)) yield await session.evaluate(epoch, signal);
      yield await session.writeCheckpoint(epoch);
    }
  } finally {
    session.destroy();
  }
}

interface SessionParts {
  readonly job: TrainingJob;
  readonly dataset: DatasetDescription;
  readonly plans: TrainingPlans;
  readonly images: { readonly train: LabelledImages; readonly test: LabelledImages };
}

class TrainingSession {
  readonly #context: EngineContext;
  readonly #parts: SessionParts;
  readonly #variables: Variables;
  readonly #full: Runner;
  readonly #tail: Runner | undefined;
  readonly #evaluation: Runner;
  readonly #totalSteps: number;
  #step = 0;

  private constructor(
    context: EngineContext,
    parts: SessionParts,
    gpu: { variables: Variables; full: Runner; tail: Runner | undefined; evaluation: Runner },
  ) {
    this.#context = context;
    this.#parts = parts;
    this.#variables = gpu.variables;
    this.#full = gpu.full;
    this.#tail = gpu.tail;
    this.#evaluation = gpu.evaluation;
    const { config } = parts.job;
    this.#totalSteps = config.epochs * Math.ceil(parts.images.train.count / config.batchSize);
  }

  static async create(context: EngineContext, parts: SessionParts): Promise<TrainingSession> {
    const { device } = context;
    const { full, tail, evaluation } = parts.plans;
    const variables = new Variables(device, full.plan);
    const made: { destroy(): void }[] = [variables];
    const runner = async ({ program, plan }: Planned) => {
      const created = await Runner.create(device, program, { plan, variables });
      made.push(created);
      return created;
    };
    try {
      const gpu = {
        variables,
        full: await runner(full),
        tail: tail && await runner(tail),
        evaluation: await runner(evaluation),
      };
      return new TrainingSession(context, parts, gpu);
    } catch (error) {
      for (const part of made) part.destroy();
      throw error;
    }
  }

  /** Compiles, then uploads the initial values: compiling leaves garbage in the buffers. */
  async *prepare(signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    const runners = [this.#full, this.#tail, this.#evaluation].filter((runner) => runner !== undefined);
    const total = runners.reduce((sum, runner) => sum + runner.pipelines, 0);
    let before = 0;
    for (const runner of runners) {
      for await (const ready of runner.warmUp()) {
        signal.throwIfAborted();
        yield { kind: "preparing", step: 0, epoch: 0, pipelinesReady: before + ready, pipelinesTotal: total };
        await eventLoopTurn();
      }
      before += runner.pipelines;
    }
    const { config } = this.#parts.job;
    const { graph } = this.#parts.plans.full.program;
    this.#variables.uploadParameters(initialValues(graph.parameters, config.seed));
    this.#variables.uploadStates(initialValues(graph.states, config.seed));
    this.#variables.clearVelocities();
    const scales = decayScales(graph);
    this.#full.writeDecayScales(scales);
    this.#tail?.writeDecayScales(scales);
  }

  async *trainEpoch(epoch: number, signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    const { job: { config }, images: { train: images } } = this.#parts;
    const { batchSize, seed } = config;
    const learningRate = learningRateOf(config, epoch);
    const speed = new Speedometer(performance.now());
    const submit = (indices: Uint32Array) => {
      const runner = indices.length === batchSize ? this.#full : this.#tail ?? this.#full;
      const ticket = runner.submit(gatherBatch(images, indices, indices.length), { learningRate, seed, epoch });
      this.#variables.changed();
      return { runner, ticket };
    };
    const batches = epochBatches(images.count, batchSize, { seed, epoch });
    for await (const { item, output } of pipelined(batches, submit, signal)) {
      this.#step++;
      const sums = new MetricSums();
      sums.add(output, item.length);
      const metrics = sums.means;
      if (!Number.isFinite(metrics.loss)) throw lossNotFinite(this.#step, metrics.loss, { ...config, learningRate });
      const imagesPerSecond = speed.add(item.length, performance.now());
      const secondsLeft = (this.#totalSteps - this.#step) * batchSize / imagesPerSecond;
      const progress = { metrics, learningRate, imagesPerSecond, secondsLeft, totalSteps: this.#totalSteps };
      yield { kind: "progress", step: this.#step, epoch, ...progress };
    }
  }

  async evaluate(epoch: number, signal: AbortSignal): Promise<TrainingEvent> {
    const { images: { test }, plans: { evaluationBatch } } = this.#parts;
    const sums = new MetricSums();
    const batches = evaluationBatches(this.#evaluation, { images: test, batchSize: evaluationBatch }, signal);
    for await (const { item, output } of batches) sums.add(output, item.length);
    const metrics = sums.means;
    return { kind: "evaluation", step: this.#step, epoch, metrics };
  }

  async writeCheckpoint(epoch: number): Promise<TrainingEvent> {
    const { job } = this.#parts;
    const position = { seed: job.config.seed, epoch: epoch + 1, stepInEpoch: 0, step: this.#step };
    const { dataDir } = this.#context;
    const written = await writeCheckpoint(
      dataDir,
      job.folder,
      await this.#snapshot(position),
      job.config.checkpointsKept,
    );
    return { kind: "checkpoint", step: this.#step, epoch, ...written, best: false };
  }

  destroy(): void {
    this.#full.destroy();
    this.#tail?.destroy();
    this.#evaluation.destroy();
    this.#variables.destroy();
  }

  async #snapshot(position: TrainingPosition): Promise<Checkpoint> {
    const { dataset, job: { config }, plans: { full: { program: { graph } } } } = this.#parts;
    const { name, height, width, channels, mean, standardDeviation, classNames } = dataset;
    return {
      model: config.model,
      dataset: { name, height, width, channels, mean, standardDeviation, classNames },
      position,
      configuration: config,
      parameters: withShapes(graph.parameters, await this.#variables.downloadParameters()),
      states: withShapes(graph.states, await this.#variables.downloadStates()),
      velocities: withShapes(graph.parameters, await this.#variables.downloadVelocities()),
    };
  }
}

/** The rate of an epoch: multiplied by `factor` at each milestone up to it. */
function learningRateOf(config: TrainingConfig, epoch: number): number {
  const passed = config.milestones.filter((milestone) => milestone <= epoch).length;
  return config.learningRate * config.factor ** passed;
}

function isEvaluated(epoch: number, { epochs, evaluateEveryEpochs }: TrainingConfig): boolean {
  return epoch === epochs - 1 || (evaluateEveryEpochs > 0 && (epoch + 1) % evaluateEveryEpochs === 0);
}

function withShapes(variables: readonly Variable[], values: ReadonlyMap<string, Float32Array<ArrayBuffer>>) {
  return new Map(variables.map(({ tensor: { name, shape } }): [string, NamedTensor] => {
    return [name, { shape, data: values.get(name) ?? new Float32Array(elementCount(shape)) }];
  }));
}

function lossNotFinite(
  step: number,
  loss: number,
  { learningRate, precision }: Pick<TrainingConfig, "learningRate" | "precision">,
): EngineError {
  const range = precision === "mixed" ? ", or precision f32, whose range is wider" : "";
  return new EngineError(
    "invalid",
    `The loss became ${loss} at step ${step}: training has diverged; try a learning rate below ${learningRate}${range}`,
  );
}
