/** The small networks of the fixtures, recorded as tests/golden/networks.py builds them. */
import {
  differentiate,
  Graph,
  linearCombination,
  lossScale,
  type Precision,
  scaleGradient,
  sgd,
  softmaxCrossEntropy,
  STEP_BYTES,
  type Tensor,
} from "../../src/gpu/mod.ts";
import { basicBlock } from "../../src/models/blocks/basic.ts";
import { bottleneckBlock } from "../../src/models/blocks/bottleneck.ts";
import { recordResidualNetwork, type ResidualNetwork, type Stem } from "../../src/models/networks/residual_network.ts";
import { forwardEuler } from "../../src/models/schemes/forward_euler.ts";
import { linearMultistep } from "../../src/models/schemes/linear_multistep.ts";
import { makeScheme } from "../../src/models/schemes/registry.ts";
import type { SchemeName, Shortcut, StochasticTraining, Transition } from "../../src/models/mod.ts";
import { type Golden, type GoldenTensor, nchwToNhwc } from "./golden.ts";

/** As tests/golden/networks.py describes a network. */
export interface NetworkShape {
  readonly block: "basic" | "bottleneck";
  readonly blocks_per_stage: number;
  readonly stem_width: number;
  readonly widths: readonly number[];
  readonly cardinality: number;
  readonly activation: "pre" | "post";
  readonly transition: Transition | null;
  readonly classes: number;
  /** Default small. */
  readonly stem?: Stem["kind"];
  /** Default projection. */
  readonly shortcut?: Shortcut;
}

/** As tests/golden/schemes.py describes one. */
export interface SchemeShape {
  readonly scheme: SchemeName;
  readonly widths: readonly number[];
  readonly blocks: readonly number[];
  readonly classes: number;
}

export interface TrainingOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Default f32. */
  readonly precision?: Precision;
  /** Default: none. */
  readonly stochastic?: StochasticTraining;
}

export function shapeOf(golden: Golden): NetworkShape | SchemeShape {
  return golden.about.network as NetworkShape | SchemeShape;
}

export function networkOf(shape: NetworkShape | SchemeShape): ResidualNetwork {
  return "scheme" in shape ? schemeNetworkOf(shape) : residualNetworkOf(shape);
}

function schemeNetworkOf({ scheme, widths, blocks }: SchemeShape): ResidualNetwork {
  return {
    stem: { kind: "small", channels: widths[0] },
    activation: "pre",
    scheme: makeScheme(scheme, {
      transition: "plain",
      perChannelCoefficients: true,
      columns: 3,
    }),
    stages: widths.map((outputChannels, s) => ({
      blocks: blocks[s],
      outputChannels,
      stride: s === 0 ? 1 : 2,
      block: (graph, options) => basicBlock(graph, { ...options, activation: "pre" }),
    })),
  };
}

function residualNetworkOf(shape: NetworkShape): ResidualNetwork {
  const { activation, cardinality, shortcut, transition } = shape;
  return {
    stem: { kind: shape.stem ?? "small", channels: shape.stem_width },
    activation,
    scheme: transition === null ? forwardEuler : linearMultistep({ transition }),
    stages: shape.widths.map((width, s) => ({
      blocks: shape.blocks_per_stage,
      outputChannels: shape.block === "basic" ? width : 4 * width,
      stride: s === 0 ? 1 : 2,
      block: (graph, options) =>
        shape.block === "basic" ? basicBlock(graph, { ...options, activation, shortcut }) : bottleneckBlock(graph, {
          ...options,
          innerChannels: cardinality * width,
          groups: cardinality,
          activation,
          shortcut,
        }),
    })),
  };
}

/** NHWC images and labels of each batch. */
export function batchesOf(golden: Golden): { images: GoldenTensor; labels: Uint32Array<ArrayBuffer> }[] {
  const { shape: [batches, ...shape], data } = golden.tensor("images");
  const labels = golden.data("labels");
  return Array.from({ length: batches }, (_, batch) => {
    const part = <T>(all: { length: number; subarray(start: number, end: number): T }) =>
      all.subarray(batch * all.length / batches, (batch + 1) * all.length / batches);
    return { images: nchwToNhwc({ shape, data: part(data) }), labels: Uint32Array.from(part(labels)) };
  });
}

export function initialOf(golden: Golden): Map<string, Float64Array> {
  return new Map([...golden.under("initial.")].map(([name, { data }]) => [name, data]));
}

export interface TrainingGraph {
  readonly graph: Graph;
  readonly images: Tensor;
  readonly logits: Tensor;
  readonly results: Tensor;
}

/** A step on images given as a source: forward, backward, update. */
export function trainingGraph(
  shape: NetworkShape | SchemeShape,
  imageShape: readonly number[],
  options: TrainingOptions,
): TrainingGraph {
  const { momentum, weightDecay, precision = "f32", stochastic } = options;
  const graph = new Graph({ training: true, precision });
  const images = graph.source("images", imageShape);
  const labels = graph.input("labels", imageShape[0] * 4);
  const step = graph.input("step", STEP_BYTES);
  const logits = recordResidualNetwork(graph, { ...networkOf(shape), stochastic }, images, shape.classes);
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels });
  const scale = precision === "mixed" ? lossScale(graph) : undefined;
  const cotangent = scale ? scaleGradient(graph, dLogits, scale) : dLogits;
  differentiate(graph, new Map([[logits, cotangent]]), linearCombination);
  sgd(graph, { momentum, weightDecay, step, lossScale: scale });
  return { graph, images, logits, results };
}

/** Of the rows of cross-entropy results. */
export function meanLoss(results: Float32Array): number {
  const rows = results.length / 4;
  return Array.from({ length: rows }, (_, row) => results[row * 4]).reduce((sum, loss) => sum + loss, 0) / rows;
}
