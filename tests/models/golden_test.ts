/** The small networks of the fixtures, on the GPU, against PyTorch. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { decayScales, encodeStep, Graph } from "../../src/gpu/mod.ts";
import { recordResidualNetwork } from "../../src/models/networks/residual_network.ts";
import {
  assertClose,
  type Golden,
  type GoldenTensor,
  loadGolden,
  networkNames,
  schemeNames,
} from "../support/golden.ts";
import {
  batchesOf,
  initialOf,
  meanLoss,
  networkOf,
  type NetworkShape,
  type SchemeShape,
  shapeOf,
  trainingGraph,
  type TrainingOptions,
} from "../support/golden_network.ts";
import { GraphSession, runGraph } from "../support/graph_runner.ts";

const STEPS = 20;

async function inferenceLogits(
  shape: NetworkShape | SchemeShape,
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

for (const name of [...networkNames, ...schemeNames]) {
  // The forms of a convolution are the networks' to check; schemes are checked in the adapter's own.
  const forms = name.startsWith("scheme_") ? [undefined] : [true, false];
  for (const software of forms) {
    const form = software === undefined ? "the adapter's form" : software ? "barrier-free tiles" : "GPU tiles";
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

async function checkTraining(golden: Golden, software?: boolean): Promise<void> {
  const batches = batchesOf(golden);
  const trains = golden.about.learningRate !== undefined;
  const options = trains
    ? golden.about as unknown as TrainingOptions
    : { learningRate: 0.02, momentum: 0, weightDecay: 0 };
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
    if (!trains) {
      for (let repeat = 0; repeat < 5; repeat++) losses.push(await step(0));
      assert(losses.every((loss, i) => i === 0 || loss < losses[i - 1]), `the loss does not fall: ${losses}`);
      return;
    }

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
