/** Images a second of whole networks: training steps and inference batches, on random images resident in memory. */
import { decayScales, GpuDevice, Variables } from "../src/gpu/mod.ts";
import { initialValues } from "../src/models/mod.ts";
import { gatherBatch, sequentialBatches } from "../src/engine/batches.ts";
import type { TrainingConfig } from "../src/engine/messages.ts";
import { inferenceProgram, type NetworkShape, type Program, trainingProgram } from "../src/engine/programs.ts";
import { pipelined, planProgram, Runner } from "../src/engine/runner.ts";
import { type Measurement, randomBytes, summarise } from "./measure.ts";

export interface NetworkBenchOptions {
  readonly model: string;
  readonly batchSize: number;
  readonly image: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes: number;
  /** Counted runs of STEPS_A_RUN steps each. */
  readonly runs: number;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
}

/** Steps timed together, so that the queue is full for most of them. */
const STEPS_A_RUN = 4;
const WARM_UP_RUNS = 1;

/** Training steps: decode, forward, backward, update. */
export function benchTrain(options: NetworkBenchOptions): AsyncGenerator<Measurement> {
  return benchNetwork("train", options, (shape) => trainingProgram(shape, configOf(options), options.batchSize));
}

/** Inference batches: decode, forward, softmax, probabilities read back. */
export function benchInfer(options: NetworkBenchOptions): AsyncGenerator<Measurement> {
  return benchNetwork("infer", options, (shape) => inferenceProgram(shape, options.batchSize));
}

async function* benchNetwork(
  benchmark: string,
  options: NetworkBenchOptions,
  record: (shape: NetworkShape) => Program,
): AsyncGenerator<Measurement> {
  const { model, batchSize, runs, image: { height, width, channels }, classes } = options;
  const name = `${model} batch ${batchSize} ${height}x${width}`;
  if (!options.matches(name)) return;
  const device = await GpuDevice.open();
  const perChannel = (value: number) => Array.from({ length: channels }, () => value);
  const images = { height, width, channels, mean: perChannel(0.5), standardDeviation: perChannel(0.25) };
  const shape = { model: { name: model }, images, classes };
  const program = record(shape);
  const plan = planProgram(device, program);
  const variables = new Variables(device, plan);
  const runner = await Runner.create(device, program, { plan, variables });
  try {
    for await (const _ready of runner.warmUp());
    variables.uploadParameters(initialValues(program.graph.parameters, 1));
    variables.uploadStates(initialValues(program.graph.states, 1));
    variables.clearVelocities();
    runner.writeDecayScales(decayScales(program.graph));
    const count = batchSize * STEPS_A_RUN;
    const data = {
      count,
      pixels: randomBytes(count * height * width * channels),
      labels: Uint32Array.from(randomBytes(count), (byte) => byte % classes),
    };
    const submit = (indices: Uint32Array) => {
      const batch = gatherBatch(data, indices, batchSize);
      return { runner, ticket: runner.submit(batch, { learningRate: 0.01, seed: 1, epoch: 0 }) };
    };
    const samples: number[] = [];
    for (let run = -WARM_UP_RUNS; run < runs; run++) {
      const started = performance.now();
      const batches = sequentialBatches(count, batchSize);
      for await (const _step of pipelined(batches, submit, options.signal));
      if (run >= 0) samples.push(count / (performance.now() - started) * 1000);
    }
    yield summarise(samples, {
      benchmark,
      case: name,
      unit: "images/s",
      adapter: device.adapter.description,
    });
  } finally {
    runner.destroy();
    variables.destroy();
    device.destroy();
  }
}

function configOf({ model, batchSize }: Pick<NetworkBenchOptions, "model" | "batchSize">): TrainingConfig {
  return {
    model: { name: model },
    dataset: "random",
    epochs: 1,
    batchSize,
    seed: 1,
    learningRate: 0.01,
    momentum: 0.9,
    weightDecay: 1e-4,
    decayMultistepCoefficients: true,
    milestones: [],
    factor: 0.1,
    labelSmoothing: 0,
    cropPadding: 4,
    horizontalFlip: true,
    precision: "f32",
    evaluateEveryEpochs: 1,
    checkpointEverySteps: 0,
    checkpointsKept: 2,
    maxRetries: 0,
  };
}
