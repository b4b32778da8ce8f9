/** Stochastic depth: who survives, what a step with dropped blocks computes, and what it leaves alone. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { decayScales, encodeStep, Graph, type StepKey } from "../../../src/gpu/mod.ts";
import { buildNetwork, ModelError, type StochasticDepth, type StochasticTraining } from "../../../src/models/mod.ts";
import { recordResidualNetwork } from "../../../src/models/networks/residual_network.ts";
import { survivalProbability, survives } from "../../../src/models/stochastic/depth.ts";
import { assertClose, type Golden, type GoldenName, loadGolden } from "../../support/golden.ts";
import { batchesOf, initialOf, networkOf, shapeOf, trainingGraph } from "../../support/golden_network.ts";
import { GraphSession } from "../../support/graph_runner.ts";

/** As tests/golden/stochastic.py describes one. */
interface Case extends StepKey, StochasticDepth {
  readonly network: GoldenName;
}

const stochastic = await loadGolden("stochastic");
const cases = Object.entries(stochastic.about.cases as Readonly<Record<string, Case>>);
const STILL = { learningRate: 0, momentum: 0, weightDecay: 0 };

function lm(): { golden: Promise<Golden>; about: Case } {
  const about = cases.find(([name]) => name === "lm")?.[1];
  assert(about);
  return { golden: loadGolden(about.network), about };
}

Deno.test("survivalProbability() falls linearly to p_L, by either rule", () => {
  const of = (rule: StochasticDepth["rule"], index: number, blocks: number) =>
    survivalProbability({ survival: 0.5, rule }, { index, blocks });
  assertEquals([0, 1, 2].map((index) => of("zero_based", index, 3)), [1, 0.75, 0.5]);
  assertEquals([0, 1, 3].map((index) => of("one_based", index, 4)), [0.875, 0.75, 0.5]);
  assertEquals([of("zero_based", 0, 1), of("one_based", 0, 1)], [1, 0.5]);
});

Deno.test("survives() draws every block of every step anew, as often as its probability says, alike each time", () => {
  const STEPS = 4000;
  const drawn = (seed: number, index: number, p: number) =>
    Array.from({ length: STEPS }, (_, step) => survives({ seed, step }, index, p));
  for (const p of [0.2, 0.5, 0.8, 1]) {
    for (const index of [0, 1, 53]) {
      const alive = drawn(1, index, p).filter(Boolean).length;
      const deviation = Math.sqrt(STEPS * p * (1 - p));
      assert(Math.abs(alive - STEPS * p) <= 4 * deviation, `${alive} of ${STEPS} survive with p = ${p}`);
    }
  }
  assertEquals(drawn(3, 2, 0.5), drawn(3, 2, 0.5));
  // Of two draws that have nothing to do with each other, half agree.
  const agreement = (a: readonly boolean[], b: readonly boolean[]) => a.filter((value, i) => value === b[i]).length;
  for (const other of [drawn(3, 3, 0.5), drawn(4, 2, 0.5), [...drawn(3, 2, 0.5).slice(1), true]]) {
    assertAlmostEquals(agreement(drawn(3, 2, 0.5), other), STEPS / 2, 4 * Math.sqrt(STEPS / 4));
  }
  // What the seeds of published runs mean.
  assertEquals(drawn(7, 5, 0.5).slice(0, 12).map(Number).join(""), "011001001011");
});

for (const [name, about] of cases) {
  Deno.test(`a step with dropped blocks is PyTorch's: ${name}`, async () => {
    const { network, survival, rule, scaling, seed, step } = about;
    const golden = await loadGolden(network);
    const [batch] = batchesOf(golden);
    const depth = { survival, rule, scaling };
    const { graph, images, logits, results } = trainingGraph(shapeOf(golden), batch.images.shape, {
      ...STILL,
      stochastic: { depth },
    });
    // Buffers start as NaN, so that a value that no one computed in this step shows wherever it is used.
    const session = await GraphSession.open(graph, { keep: [logits, results] });
    try {
      session.uploadParameters(initialOf(golden));
      session.uploadStates(initialOf(golden));
      session.writeInput("decay_scales", decayScales(graph));
      session.writeInput("step", encodeStep({ learningRate: 0, seed: 0, epoch: 0 }));
      session.writeSource(images, batch.images.data);
      session.writeInput("labels", batch.labels);
      // A step with other survivors before it leaves gradients and values of blocks that are now dropped.
      const before = await session.variables.downloadStates();
      for (const key of [{ seed, step: step + 1 }, { seed, step }]) {
        session.uploadStates(initialOf(golden));
        session.draw(key);
        session.step();
      }
      const expected = (what: string) => stochastic.data(`${name}.${what}`);
      assertClose(await session.read(logits), expected("logits"), { tolerance: 1e-5, what: "logits" });
      const gradients = await session.variables.downloadGradients();
      let zeros = 0;
      for (const [parameter, { data }] of stochastic.under(`${name}.gradient.`)) {
        const what = `gradient of ${parameter}`;
        const gradient = gradients.get(parameter) ?? [];
        // k has no effect after dropped blocks that left u_n = u_{n-1}; rounding in f32 alone says otherwise.
        const vanishes = data.every((value) => value !== 0 && Math.abs(value) < 1e-12);
        if (vanishes) assert(Math.abs(gradient[0]) < 1e-6, `${what} is ${gradient[0]}`);
        else assertClose(gradient, data, { tolerance: 1e-4, what });
        if (data.every((value) => value === 0)) zeros++;
      }
      assert(zeros > 0, "no block was dropped");
      const states = await session.variables.downloadStates();
      for (const [state, { data }] of stochastic.under(`${name}.state.`)) {
        assertClose(states.get(state) ?? [], data, { tolerance: 1e-5, what: state });
        const initial = Float32Array.from(before.get(state) ?? []);
        const dropped = data.every((value, i) => Math.fround(value) === initial[i]);
        if (dropped) assertEquals(states.get(state), initial, `${state} of a dropped block has changed`);
      }
    } finally {
      session.close();
    }
  });

  Deno.test(`evaluation is PyTorch's, scaled as the run says: ${name}`, async () => {
    const { network, survival, rule, scaling } = about;
    const golden = await loadGolden(network);
    const [{ images }] = batchesOf(golden);
    const shape = shapeOf(golden);
    const graph = new Graph({ training: false });
    const source = graph.source("images", images.shape);
    const choices = { stochastic: { depth: { survival, rule, scaling } } };
    const logits = recordResidualNetwork(graph, { ...networkOf(shape), ...choices }, source, shape.classes);
    assertEquals(graph.draws.length > 0, scaling === "test");
    const session = await GraphSession.open(graph, { keep: [logits] });
    try {
      session.uploadParameters(initialOf(golden));
      session.uploadStates(initialOf(golden));
      session.writeSource(source, images.data);
      session.draw({ seed: 0, step: 0 });
      session.step();
      const expected = stochastic.data(`${name}.inference_logits`);
      assertClose(await session.read(logits), expected, { tolerance: 1e-5, what: "logits" });
    } finally {
      session.close();
    }
  });
}

/** Logits, gradients and statistics of one step of lm_resnet. */
async function stepOf(choices: StochasticTraining | undefined, key: StepKey) {
  const golden = await lm().golden;
  const [batch] = batchesOf(golden);
  const { graph, images, logits, results } = trainingGraph(shapeOf(golden), batch.images.shape, {
    ...STILL,
    stochastic: choices,
  });
  const session = await GraphSession.open(graph, { keep: [logits, results] });
  try {
    session.uploadParameters(initialOf(golden));
    session.uploadStates(initialOf(golden));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: 0, seed: 0, epoch: 0 }));
    session.writeSource(images, batch.images.data);
    session.writeInput("labels", batch.labels);
    session.draw(key);
    session.step();
    return {
      draws: graph.draws.length,
      logits: await session.read(logits),
      gradients: await session.variables.downloadGradients(),
      states: await session.variables.downloadStates(),
    };
  } finally {
    session.close();
  }
}

Deno.test("a network whose blocks all survive is the plain one, bit for bit", async (t) => {
  const { draws: _, ...plain } = await stepOf(undefined, { seed: 0, step: 0 });
  await t.step("with p = 1: nothing is drawn", async () => {
    const depth: StochasticDepth = { survival: 1, rule: "one_based", scaling: "training" };
    const { draws, ...certain } = await stepOf({ depth }, { seed: 0, step: 0 });
    assertEquals(draws, 0);
    assertEquals(certain, plain);
  });
  await t.step("with all gates open by chance, unscaled", async () => {
    const depth: StochasticDepth = { survival: 0.8, rule: "zero_based", scaling: "test" };
    const blocks = 9;
    const isWhole = (step: number) =>
      Array.from({ length: blocks }, (_, index) => index).every((index) =>
        survives({ seed: 1, step }, index, survivalProbability(depth, { index, blocks }))
      );
    const step = Array.from({ length: 1000 }, (_, step) => step).findIndex(isWhole);
    const { draws, ...open } = await stepOf({ depth }, { seed: 1, step });
    assertEquals(draws, blocks - 1);
    assertEquals(open, plain);
  });
});

Deno.test("buildNetwork() says which networks have nothing to drop", () => {
  const build = (name: string, survival: number) => () => {
    const graph = new Graph({ training: true });
    const depth: StochasticDepth = { survival, rule: "zero_based", scaling: "training" };
    const images = graph.source("images", [1, 8, 8, 3]);
    buildNetwork(graph, { name }, images, { classes: 10, stochastic: { depth } });
  };
  assertEquals(
    assertThrows(build("fractalnet-8", 0.5), ModelError).message,
    'Cannot use stochastic depth with "fractalnet-8": a step of its scheme (fractal of 2 columns) is not u and one ' +
      "increment that could be dropped",
  );
  assertThrows(build("revnet-8", 0.5), ModelError, "reversible");
  for (const survival of [0, -1, 1.5, NaN]) {
    assertThrows(build("lm-resnet-8", survival), ModelError, "above 0 and at most 1");
  }
});
