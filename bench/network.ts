/** Images a second of whole networks: training steps and inference batches, on random images resident in memory. */
import { decayScales, GpuDevice, Variables } from "../src/gpu/mod.ts";
import { initialValues } from "../src/models/mod.ts";
import { sequentialBatches } from "../src/engine/batches.ts";
import { gatherBatch } from "../src/engine/batches.ts";
import type { TrainingConfig } from "../src/engine/messages.ts";
import { inferenceProgram, type NetworkShape, type Program, trainingProgram } from "../src/engine/programs.ts";
import { pipelined, planProgram, Runner } from "../src/engine/runner.ts";
import { type Measurement, randomBytes, summarise } from "./measure.ts";

export interface NetworkBenchOptions {
  readonly model: string;
  readonly batchSize: number;
  /** Counted steps; default 12. */
  readonly steps?: number;
  /** Height and width of the images; default 32. */
  readonly imageSize?: number;
}

const CLASSES = 10;
const WARM_UP_STEPS = 3;

/** Training steps: decode, forward, backward, update. */
export function benchTrain(options: NetworkBenchOptions): Promise<Measurement> {
  return benchNetwork("train", options, (shape) => trainingProgram(shape, configOf(options), options.batchSize));
}

/** Inference batches: decode, forward, softmax, probabilities read back. */
export function benchInfer(options: NetworkBenchOptions): Promise<Measurement> {
  return benchNetwork("infer", options, (shape) => inferenceProgram(shape, options.batchSize));
}

async function benchNetwork(
  benchmark: string,
  options: NetworkBenchOptions,
  record: (shape: NetworkShape) => Program,
): Promise<Measurement> {
  const { model, batchSize, steps = 12, imageSize = 32 } = options;
  const device = await GpuDevice.open();
  const format = { height: imageSize, width: imageSize, channels: 3 };
  const normalisation = { mean: [0.5, 0.5, 0.5], standardDeviation: [0.25, 0.25, 0.25] };
  const shape = { model: { name: model }, images: { ...format, ...normalisation }, classes: CLASSES };
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
    const count = batchSize * (WARM_UP_STEPS + steps);
    const images = {
      count,
      pixels: randomBytes(count * imageSize * imageSize * 3),
      labels: Uint32Array.from(randomBytes(count), (byte) => byte % CLASSES),
    };
    const submit = (indices: Uint32Array) => {
      const batch = gatherBatch(images, indices, batchSize);
      return { runner, ticket: runner.submit(batch, { learningRate: 0.01, seed: 1, epoch: 0 }) };
    };
    const times: number[] = [];
    const batches = sequentialBatches(count, batchSize);
    for await (const _step of pipelined(batches, submit, new AbortController().signal)) times.push(performance.now());
    const intervals = times.slice(1).map((time, i) => time - times[i]).slice(WARM_UP_STEPS - 1);
    return summarise(intervals.map((ms) => batchSize / ms * 1000), {
      benchmark,
      case: `${model} batch ${batchSize} ${imageSize}x${imageSize}`,
      unit: "images/s",
      adapter: device.adapter.description,
    });
  } finally {
    runner.destroy();
    variables.destroy();
    device.destroy();
  }
}

function configOf({ model, batchSize }: NetworkBenchOptions): TrainingConfig {
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
  };
}
