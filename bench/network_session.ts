/** A whole network on the GPU with random images in memory: what is measured of it takes steps here. */
import { decayScales, GpuDevice, type Plan, type ReadBackTicket, Variables } from "../src/gpu/mod.ts";
import { describeModel, initialValues } from "../src/models/mod.ts";
import type { LabelledImages } from "../src/data/mod.ts";
import { type BatchFeed, HostFeed } from "../src/engine/batch_feed.ts";
import { type Batch, gatherBatch, type HostBatch, sequentialBatches } from "../src/engine/batches.ts";
import type { TrainingConfig } from "../src/engine/messages.ts";
import { inferenceProgram, type Program, trainingProgram } from "../src/engine/programs.ts";
import { ResidentFeed } from "../src/engine/resident_feed.ts";
import { planProgram, Runner, type StepArguments } from "../src/engine/runner.ts";
import { openTuner, tunePrograms, type TuningOptions } from "../src/engine/tuning.ts";
import { randomBytes } from "./measure.ts";

export interface NetworkOptions {
  readonly model: string;
  readonly batchSize: number;
  readonly image: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes: number;
  /** Of training; default f32. */
  readonly precision?: TrainingConfig["precision"];
}

/** Batches of different images. */
const BATCHES = 6;
const STEP: StepArguments = { learningRate: 0.01, seed: 1, epoch: 0, step: 0 };

export class NetworkSession {
  private constructor(
    readonly device: GpuDevice,
    readonly plan: Plan,
    readonly runner: Runner,
    readonly variables: Variables,
    readonly options: NetworkOptions,
    /** All batches in order, again and again: of training on the GPU, as a run has them, of inference on the host. */
    readonly feed: BatchFeed,
    readonly data: LabelledImages,
  ) {}

  /**
   * Opens the device, compiles, and uploads initial values.
   * @param given the session's own from now on; default: random images
   */
  static async open(
    options: NetworkOptions & TuningOptions & { readonly signal: AbortSignal },
    purpose: "train" | "infer",
    given?: BatchFeed,
  ): Promise<NetworkSession> {
    const device = await GpuDevice.open();
    const made: { destroy(): void }[] = given ? [given, device] : [device];
    try {
      const program = record(options, purpose);
      const tuner = await openTuner(device, options);
      for await (const _tried of tunePrograms({ device, tuner }, [program], options.signal));
      const plan = await planProgram({ device, tuner }, program);
      const variables = new Variables(device, plan);
      made.unshift(variables);
      const runner = await Runner.create(device, program, { plan, variables });
      made.unshift(runner);
      for await (const _ready of runner.warmUp());
      variables.uploadParameters(initialValues(program.graph.parameters, 1));
      variables.uploadStates(initialValues(program.graph.states, 1));
      variables.clearVelocities();
      runner.writeDecayScales(decayScales(program.graph));
      const { batchSize } = options;
      const data = randomImages(options);
      const random = () =>
        purpose === "train"
          ? ResidentFeed.sequential(device, data, { batchSize })
          : HostFeed.sequential(data, { batchSize });
      const feed: BatchFeed = given ?? await random();
      if (!given) made.unshift(feed);
      await feed.connect?.(runner);
      return new NetworkSession(device, plan, runner, variables, options, feed, data);
    } catch (error) {
      for (const part of made) part.destroy();
      throw error;
    }
  }

  /** Gathers the batch of a step on the host. */
  gather(step: number): HostBatch {
    const { batchSize } = this.options;
    return gatherBatch(this.data, sequentialBatches(this.data.count, batchSize)[step % BATCHES], batchSize);
  }

  /** Fills the inputs of the next step. */
  write(batch: Batch): void {
    this.runner.write(batch, STEP);
  }

  /** What a run does each step with its batch: writes, encodes, submits. */
  submit(batch: Batch): ReadBackTicket {
    return this.runner.submit(batch, STEP);
  }

  destroy(): void {
    this.feed.destroy();
    this.runner.destroy();
    this.variables.destroy();
    this.device.destroy();
  }
}

/** Multiply-adds of one image's forward pass. */
export function forwardMultiplyAdds({ model, image, classes }: NetworkOptions): number {
  return describeModel({ name: model }, image, classes).multiplyAdds;
}

function randomImages({ batchSize, image: { height, width, channels }, classes }: NetworkOptions): LabelledImages {
  const count = batchSize * BATCHES;
  return {
    count,
    pixels: randomBytes(count * height * width * channels),
    labels: Uint32Array.from(randomBytes(count), (byte) => byte % classes),
  };
}

function record(options: NetworkOptions, purpose: "train" | "infer"): Program {
  const { model, batchSize, image: { height, width, channels }, classes } = options;
  const perChannel = (value: number) => Array.from({ length: channels }, () => value);
  const images = { height, width, channels, mean: perChannel(0.5), standardDeviation: perChannel(0.25) };
  const shape = { model: { name: model }, images, classes };
  return purpose === "train"
    ? trainingProgram(shape, configOf(options), batchSize)
    : inferenceProgram(shape, batchSize);
}

function configOf({ model, batchSize, precision = "f32" }: NetworkOptions): TrainingConfig {
  return {
    model: { name: model },
    dataset: "random",
    epochs: 1,
    batchSize,
    seed: 1,
    learningRate: STEP.learningRate,
    momentum: 0.9,
    weightDecay: 1e-4,
    decayMultistepCoefficients: true,
    milestones: [],
    factor: 0.1,
    labelSmoothing: 0,
    cropPadding: 4,
    horizontalFlip: true,
    precision,
    evaluateEveryEpochs: 1,
    checkpointEverySteps: 0,
    checkpointsKept: 2,
    maxRetries: 0,
  };
}
