/**
 * The three computations of a network: one training step, one evaluation batch, one inference batch. Mixed precision is
 * of training alone: the weights are f32, and what uses them computes in f32.
 */
import {
  type BufferHandle,
  decodeImages,
  differentiate,
  Graph,
  linearCombination,
  lossScale,
  movingAverage,
  scaleGradient,
  sgd,
  softmax,
  softmaxCrossEntropy,
  STEP_BYTES,
  type Tensor,
} from "../gpu/mod.ts";
import { buildNetwork, type ModelSpec, type StochasticTraining } from "../models/mod.ts";
import type { AugmentationChoices } from "./augmentation.ts";
import type { TrainingConfig } from "./messages.ts";

/** What images a network takes, and how they are normalised. */
export interface ImageFormat {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
}

export interface NetworkShape {
  readonly model: ModelSpec;
  readonly images: ImageFormat;
  readonly classes: number;
  /** That of the run: it may scale the trained network. */
  readonly stochastic?: StochasticTraining;
}

/** A recorded program and what is written to it and read from it. */
export interface Program {
  readonly graph: Graph;
  readonly pixels: BufferHandle;
  readonly examples: BufferHandle;
  readonly step: BufferHandle;
  /** Absent for inference. */
  readonly labels?: BufferHandle;
  /** Training only. */
  readonly decayScales?: BufferHandle;
  /** The states that are the parameters' moving averages, in their order; absent where there are none. */
  readonly averages?: readonly Tensor[];
  /** Of the share that each step draws; undefined: no mixup. */
  readonly mixupAlpha?: number;
  /** What is read back: cross-entropy results [N, 4], or probabilities [N, classes]. */
  readonly output: Tensor;
}

/** What a training step is made of, besides its network. */
export type TrainingChoices = Pick<
  TrainingConfig,
  | "cropPadding"
  | "horizontalFlip"
  | keyof AugmentationChoices
  | "labelSmoothing"
  | "momentum"
  | "weightDecay"
  | "nesterov"
  | "clipGlobalNorm"
  | "emaDecay"
  | "precision"
>;

/** Decode and augment, forward, backward, update. */
export function trainingProgram(shape: NetworkShape, config: TrainingChoices, batch: number): Program {
  const { labelSmoothing, momentum, nesterov, weightDecay, mixupAlpha, precision } = config;
  const graph = new Graph({ training: true, precision });
  const inputs = recordInputs(graph, shape, batch, config);
  const labels = graph.input("labels", batch * 4);
  const { step } = inputs;
  const logits = buildNetwork(graph, shape.model, inputs.images, networkOptions(shape));
  const mixup = mixupAlpha === undefined ? undefined : step;
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels, labelSmoothing, mixup });
  const scale = precision === "mixed" ? lossScale(graph) : undefined;
  const cotangent = scale ? scaleGradient(graph, dLogits, scale) : dLogits;
  differentiate(graph, new Map([[logits, cotangent]]), linearCombination);
  const clipGlobalNorm = config.clipGlobalNorm || undefined;
  const decayScales = sgd(graph, { momentum, nesterov, weightDecay, clipGlobalNorm, step, lossScale: scale });
  const averages = config.emaDecay === undefined ? undefined : movingAverage(graph, config.emaDecay);
  return { graph, ...inputs, labels, decayScales, averages, mixupAlpha, output: results };
}

/** Decode, forward with running statistics, cross-entropy. */
export function evaluationProgram(shape: NetworkShape, batch: number): Program {
  const graph = new Graph({ training: false });
  const inputs = recordInputs(graph, shape, batch, AS_THEY_ARE);
  const labels = graph.input("labels", batch * 4);
  const logits = buildNetwork(graph, shape.model, inputs.images, networkOptions(shape));
  const { results } = softmaxCrossEntropy(graph, logits, { labels });
  return { graph, ...inputs, labels, output: results };
}

/** Decode, forward with running statistics, softmax. */
export function inferenceProgram(shape: NetworkShape, batch: number): Program {
  const graph = new Graph({ training: false });
  const inputs = recordInputs(graph, shape, batch, AS_THEY_ARE);
  const logits = buildNetwork(graph, shape.model, inputs.images, networkOptions(shape));
  return { graph, ...inputs, output: softmax(graph, "probabilities", logits) };
}

function networkOptions({ classes, stochastic }: NetworkShape) {
  return { classes, stochastic };
}

type ImageChoices = Pick<TrainingConfig, "cropPadding" | "horizontalFlip" | keyof AugmentationChoices>;

/** Images as they are. */
const AS_THEY_ARE: ImageChoices = { cropPadding: 0, horizontalFlip: false };

function recordInputs(graph: Graph, shape: NetworkShape, batch: number, choices: ImageChoices) {
  const { height, width, channels, mean, standardDeviation } = shape.images;
  const { cropPadding, horizontalFlip, cutoutSize, randomErasing, mixupAlpha } = choices;
  const pixels = graph.input("pixels", batch * height * width * channels);
  const examples = graph.input("examples", batch * 4);
  const step = graph.input("step", STEP_BYTES);
  // Named one by one: a data set's description has augmentation defaults of its own, which are not meant here.
  const format = { height, width, channels, mean, standardDeviation };
  const augmentation = { cropPadding, horizontalFlip, cutoutSize, randomErasing, mixup: mixupAlpha !== undefined };
  const images = decodeImages(graph, { batch, ...format, ...augmentation, pixels, examples, step });
  return { pixels, examples, step, images };
}
