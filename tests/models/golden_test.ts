/** The small networks of the fixtures, on the GPU, against PyTorch. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  decayScales,
  differentiate,
  encodeStep,
  Graph,
  linearCombination,
  sgd,
  softmaxCrossEntropy,
  STEP_BYTES,
  type Tensor,
} from "../../src/gpu/mod.ts";
import { basicBlock } from "../../src/models/blocks/basic.ts";
import { bottleneckBlock } from "../../src/models/blocks/bottleneck.ts";
import { recordResidualNetwork, type ResidualNetwork } from "../../src/models/networks/residual_network.ts";
import { forwardEuler } from "../../src/models/schemes/forward_euler.ts";
import { linearMultistep } from "../../src/models/schemes/linear_multistep.ts";
import type { Transition } from "../../src/models/mod.ts";
import { assertClose, type Golden, type GoldenTensor, loadGolden, nchwToNhwc } from "../support/golden.ts";
import { GraphSession, runGraph } from "../support/graph_runner.ts";

/** As tests/golden/networks.py describes a network. */
interface NetworkShape {
  readonly block: "basic" | "bottleneck";
  readonly blocks_per_stage: number;
  readonly stem_width: number;
  readonly widths: readonly number[];
  readonly cardinality: number;
  readonly activation: "pre" | "post";
  readonly transition: Transition | null;
  readonly classes: number;
}

interface TrainingOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

const STEPS = 20;

function shapeOf(golden: Golden): NetworkShape {
  return golden.about.network as NetworkShape;
}

function networkOf(shape: NetworkShape): ResidualNetwork {
  const { activation, cardinality, transition } = shape;
  return {
    stemChannels: shape.stem_width,
    activation,
    scheme: transition === null ? forwardEuler : linearMultistep({ transition }),
    stages: shape.widths.map((width, s) => ({
      blocks: shape.blocks_per_stage,
      outputChannels: shape.block === "basic" ? width : 4 * width,
      stride: s === 0 ? 1 : 2,
      block: shape.block === "basic" ? basicBlock : (graph, options) =>
        bottleneckBlock(graph, {
          ...options,
          innerChannels: cardinality * width,
          groups: cardinality,
          activation,
        }),
    })),
  };
}

/** NHWC images and labels of each batch. */
function batchesOf(golden: Golden): { images: GoldenTensor; labels: Uint32Array<ArrayBuffer> }[] {
  const { shape: [batches, ...shape], data } = golden.tensor("images");
  const labels = golden.data("labels");
  return Array.from({ length: batches }, (_, batch) => {
    const part = <T>(all: { length: number; subarray(start: number, end: number): T }) =>
      all.subarray(batch * all.length / batches, (batch + 1) * all.length / batches);
    return { images: nchwToNhwc({ shape, data: part(data) }), labels: Uint32Array.from(part(labels)) };
  });
}

function initialOf(golden: Golden): Map<string, Float64Array> {
  return new Map([...golden.under("initial.")].map(([name, { data }]) => [name, data]));
}

async function inferenceLogits(
  shape: NetworkShape,
  images: GoldenTensor,
  options: { values: ReadonlyMap<string, ArrayLike<number>>; training?: boolean; software?: boolean },
): Promise<Float32Array> {
  const { values, training = false, software } = options;
  const graph = new Graph({ training });
  const source = graph.source("images", images.shape);
  const logits = recordResidualNetwork(graph, networkOf(shape), source, shape.classes);
  const sources = new Map([[source, images.data]]);
  const result = await runGraph(graph, { sources, parameters: values, states: values, keep: [logits], software });
  const output = result.values.get(logits);
  assert(output);
  return output;
}

interface TrainingGraph {
  readonly graph: Graph;
  readonly images: Tensor;
  readonly logits: Tensor;
  readonly results: Tensor;
}

function trainingGraph(shape: NetworkShape, imageShape: readonly number[], options: TrainingOptions): TrainingGraph {
  const graph = new Graph({ training: true });
  const images = graph.source("images", imageShape);
  const labels = graph.input("labels", imageShape[0] * 4);
  const step = graph.input("step", STEP_BYTES);
  const logits = recordResidualNetwork(graph, networkOf(shape), images, shape.classes);
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels });
  differentiate(graph, new Map([[logits, dLogits]]), linearCombination);
  sgd(graph, { momentum: options.momentum, weightDecay: options.weightDecay, step });
  return { graph, images, logits, results };
}

function meanLoss(results: Float32Array): number {
  const rows = results.length / 4;
  return Array.from({ length: rows }, (_, row) => results[row * 4]).reduce((sum, loss) => sum + loss, 0) / rows;
}

for (const name of ["resnet", "lm_resnet", "resnext", "lm_resnext"] as const) {
  for (const software of [true, false]) {
    const form = software ? "barrier-free tiles" : "GPU tiles";
    Deno.test(`recordResidualNetwork() infers as PyTorch does: ${name}, ${form}`, async () => {
      const golden = await loadGolden(name);
      const [{ images }] = batchesOf(golden);
      const logits = await inferenceLogits(shapeOf(golden), images, { values: initialOf(golden), software });
      assertClose(logits, golden.data("inference_logits"), { tolerance: 1e-5, what: "inference logits" });
    });

    Deno.test(`recordResidualNetwork() trains as PyTorch does: ${name}, ${form}`, async () => {
      await checkTraining(await loadGolden(name), software);
    });
  }
}

async function checkTraining(golden: Golden, software: boolean): Promise<void> {
  const batches = batchesOf(golden);
  const trains = golden.about.learningRate !== undefined;
  const options = trains
    ? golden.about as unknown as TrainingOptions
    : { learningRate: 0, momentum: 0, weightDecay: 0 };
  const { graph, images, logits, results } = trainingGraph(shapeOf(golden), batches[0].images.shape, options);
  assertEquals(graph.parameterCount, golden.about.parameters);
  const session = await GraphSession.open(graph, { keep: [logits, results], software });
  try {
    session.uploadParameters(initialOf(golden));
    session.uploadStates(initialOf(golden));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: options.learningRate, seed: 0, epoch: 0 }));
    const step = async (index: number) => {
      const batch = batches[index % batches.length];
      session.writeSource(images, batch.images.data);
      session.writeInput("labels", batch.labels);
      session.step();
      return meanLoss(await session.read(results));
    };

    const losses = [await step(0)];
    assertClose(await session.read(logits), golden.data("logits"), { tolerance: 1e-5, what: "training logits" });
    assertClose(losses, golden.data("loss"), { tolerance: 1e-5, what: "loss" });
    const gradients = await session.variables.downloadGradients();
    const expected = golden.under("gradient.");
    assertEquals([...gradients.keys()].sort(), [...expected.keys()].sort());
    for (const [parameter, { data }] of expected) {
      const what = `gradient of ${parameter}`;
      assertClose(gradients.get(parameter) ?? [], data, { tolerance: 1e-4, what });
    }
    if (!trains) return;

    for (let index = 1; index < STEPS; index++) losses.push(await step(index));
    golden.data("losses").forEach((loss, index) => {
      assertAlmostEquals(losses[index], loss, 1e-3 * loss, `loss ${index} is ${losses[index]}, PyTorch has ${loss}`);
    });
    const parameters = await session.variables.downloadParameters();
    const states = await session.variables.downloadStates();
    for (const [variable, { data }] of golden.under("final.")) {
      const value = parameters.get(variable) ?? states.get(variable);
      assertClose(value ?? [], data, { tolerance: 1e-3, what: `final ${variable}` });
    }
  } finally {
    session.close();
  }
}

for (const name of ["lm_resnet", "lm_resnext"] as const) {
  Deno.test(`linearMultistep() with every k = 0 is forwardEuler: ${name}`, async () => {
    const golden = await loadGolden(name);
    const shape = shapeOf(golden);
    const [{ images }] = batchesOf(golden);
    const initial = initialOf(golden);
    const zeroed = new Map([...initial].map(([key, data]) => [key, key.endsWith(".k") ? data.map(() => 0) : data]));
    for (const training of [false, true]) {
      const multistep = await inferenceLogits(shape, images, { values: zeroed, training });
      const euler = await inferenceLogits({ ...shape, transition: null }, images, { values: zeroed, training });
      assertClose(multistep, euler, { tolerance: 1e-6, what: `logits with training = ${training}` });
      // With the fixture's k they differ, so the comparison above can fail.
      const stepped = await inferenceLogits(shape, images, { values: initial, training });
      assert(stepped.some((value, i) => Math.abs(value - euler[i]) > 1e-3));
    }
  });
}
