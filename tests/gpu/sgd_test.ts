/** Updates of the optimiser, step by step, against PyTorch's: Nesterov's momentum, clipping, the moving average. */
import { assert, assertEquals } from "@std/assert";
import {
  averageName,
  decayScales,
  differentiate,
  encodeStep,
  Graph,
  linear,
  linearCombination,
  lossScale,
  movingAverage,
  scaleGradient,
  sgd,
  STEP_BYTES,
} from "../../src/gpu/mod.ts";
import { buildNetwork, initialValues } from "../../src/models/mod.ts";
import { type SgdState, sgdStep } from "../reference/sgd.ts";
import { assertClose, loadGolden } from "../support/golden.ts";
import { GraphSession } from "../support/graph_runner.ts";

const golden = await loadGolden("optimization");

const TOLERANCE = 1e-6;

function row(name: string, index: number): Float64Array {
  const { shape: [, length], data } = golden.tensor(name);
  return data.subarray(index * length, (index + 1) * length);
}

/** y = W x + b with x = 0: the gradient of b is dy, that of W is 0. */
function recordLinear(outputs: number) {
  const graph = new Graph({ training: true });
  const step = graph.input("step", STEP_BYTES);
  const x = graph.source("x", [1, 1]);
  const y = linear(graph, x, { name: "linear", outputs });
  return { graph, step, x, y, dy: graph.source("dy", y.shape) };
}

for (const name of golden.cases("update")) {
  Deno.test(`sgd() and movingAverage() take four steps as PyTorch does: ${name}`, async () => {
    const { learningRate, momentum, weightDecay, nesterov, clipGlobalNorm, averageDecay } = golden.options(name);
    const { shape: [steps, length] } = golden.tensor(`${name}.gradients`);
    const { graph, step, x, y, dy } = recordLinear(length);
    differentiate(graph, new Map([[y, dy]]), linearCombination);
    sgd(graph, {
      momentum,
      weightDecay,
      nesterov: Boolean(nesterov),
      clipGlobalNorm: clipGlobalNorm || undefined,
      step,
    });
    movingAverage(graph, averageDecay);
    const session = await GraphSession.open(graph, { keep: [] });
    try {
      const start = golden.data(`${name}.parameter`);
      const zeros = new Float64Array(length);
      session.uploadParameters(new Map([["linear.weight", zeros], ["linear.bias", start]]));
      session.uploadStates(new Map([[averageName("linear.weight"), zeros], [averageName("linear.bias"), start]]));
      session.writeInput("decay_scales", decayScales(graph));
      session.writeInput("step", encodeStep({ learningRate, seed: 0, epoch: 0 }));
      session.writeSource(x, [0]);
      for (let index = 0; index < steps; index++) {
        session.writeSource(dy, row(`${name}.gradients`, index));
        session.step();
        const bias = (await session.variables.downloadParameters()).get("linear.bias")!;
        const average = (await session.variables.downloadStates()).get(averageName("linear.bias"))!;
        const options = (what: string) => ({ tolerance: TOLERANCE, what: `${what} after step ${index}` });
        assertClose(bias, row(`${name}.parameters`, index), options("parameter"));
        assertClose(average, row(`${name}.averages`, index), options("average"));
      }
    } finally {
      session.close();
    }
  });
}

Deno.test("reference sgdStep() with Nesterov's momentum agrees with PyTorch", () => {
  const { learningRate, momentum, weightDecay } = golden.options("update_nesterov");
  const { shape: [steps, length] } = golden.tensor("update_nesterov.gradients");
  let state: SgdState = { parameter: golden.data("update_nesterov.parameter"), velocity: new Float64Array(length) };
  for (let step = 0; step < steps; step++) {
    const options = { learningRate, momentum, weightDecay, nesterov: true };
    state = sgdStep(state, row("update_nesterov.gradients", step), options);
    const expected = row("update_nesterov.parameters", step);
    assertClose(state.parameter, expected, { tolerance: 1e-14, what: `parameter after step ${step}` });
  }
});

/** One step of b with the gradient dy, under a loss scale or none; b starts at 0, and the rate is 1. */
async function clippedStep(
  dOutput: ArrayLike<number>,
  { maxNorm, scale, storageBindingBytes }: { maxNorm: number; scale?: number; storageBindingBytes?: number },
): Promise<Float32Array> {
  const { graph, step, x, y, dy } = recordLinear(dOutput.length);
  const scaling = scale === undefined ? undefined : lossScale(graph);
  const cotangent = scaling ? scaleGradient(graph, dy, scaling) : dy;
  differentiate(graph, new Map([[y, cotangent]]), linearCombination);
  sgd(graph, { momentum: 0, weightDecay: 0, clipGlobalNorm: maxNorm, step, lossScale: scaling });
  const session = await GraphSession.open(graph, { keep: [], storageBindingBytes });
  try {
    const zeros = new Float64Array(dOutput.length);
    session.uploadParameters(new Map([["linear.weight", zeros], ["linear.bias", zeros]]));
    if (scale !== undefined) {
      session.uploadStates(
        new Map([["optimizer.loss_scale", [scale]], ["optimizer.good_steps", [0]], ["optimizer.skipped_steps", [0]]]),
      );
    }
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: 1, seed: 0, epoch: 0 }));
    session.writeSource(x, [0]);
    session.writeSource(dy, dOutput);
    session.step();
    return (await session.variables.downloadParameters()).get("linear.bias")!;
  } finally {
    session.close();
  }
}

/** Of the norm 5 in each pair. */
function gradients(pairs: number): Float64Array {
  return Float64Array.from({ length: 2 * pairs }, (_, i) => i % 2 === 0 ? 3 : -4);
}

for (const scale of [undefined, 1024, 2 ** 64]) {
  for (const storageBindingBytes of [undefined, 16384]) {
    const where = `${scale ? `a loss scale of ${scale}` : "no loss scale"}, ${
      storageBindingBytes ? "several bindings" : "one binding"
    }`;
    Deno.test(`sgd() clips to the bound, and leaves what is below it: ${where}`, async () => {
      // 16 KiB of gradients beside as many zeros.
      const dOutput = gradients(2048);
      const norm = 5 * Math.sqrt(2048);
      const clipped = await clippedStep(dOutput, { maxNorm: norm / 10, scale, storageBindingBytes });
      assertClose(clipped, dOutput.map((value) => -value / 10), { tolerance: 1e-6, what: "clipped" });
      const whole = await clippedStep(dOutput, { maxNorm: norm * 1.001, scale, storageBindingBytes });
      assertEquals(whole, Float32Array.from(dOutput, (value) => -value));
    });
  }
}

Deno.test("sgd() that clips skips a step whose gradients are not finite under a loss scale, and shows it without", async () => {
  for (const bad of [Infinity, NaN]) {
    const dOutput = gradients(4);
    dOutput[5] = bad;
    assertEquals(await clippedStep(dOutput, { maxNorm: 1, scale: 8 }), new Float32Array(8));
    const shown = await clippedStep(dOutput, { maxNorm: 1 });
    assert(!Number.isFinite(shown[5]), `the update is ${shown}`);
  }
});

Deno.test("sgd() bounds the norm over all parameters of a network, of any shape", async () => {
  const graph = new Graph({ training: true });
  const step = graph.input("step", STEP_BYTES);
  const images = graph.source("images", [2, 9, 7, 3]);
  const logits = buildNetwork(
    graph,
    {
      name: "odd",
      scheme: "linear_multistep",
      network: {
        stem: "small",
        stemChannels: 5,
        stages: [{ block: "basic", blocks: 2, channels: 5, groups: 1 }, {
          block: "basic",
          blocks: 1,
          channels: 7,
          groups: 1,
        }],
      },
    },
    images,
    { classes: 3 },
  );
  const cotangent = graph.source("dLogits", logits.shape);
  differentiate(graph, new Map([[logits, cotangent]]), linearCombination);
  sgd(graph, { momentum: 0, weightDecay: 0, clipGlobalNorm: 0.125, step });
  movingAverage(graph, 0.75);
  const session = await GraphSession.open(graph, { keep: [] });
  try {
    const before = initialValues(graph.parameters, 3);
    const averages = new Map([...before].map(([name, values]) => [averageName(name), values]));
    session.uploadParameters(before);
    session.uploadStates(new Map([...initialValues(graph.states, 3), ...averages]));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: 1, seed: 0, epoch: 0 }));
    session.writeSource(images, Float64Array.from({ length: 2 * 9 * 7 * 3 }, (_, i) => Math.sin(i)));
    session.writeSource(cotangent, [1, -2, 1, 0.5, 0.5, -1]);
    session.step();
    const dWeights = await session.variables.downloadGradients();
    const after = await session.variables.downloadParameters();
    const states = await session.variables.downloadStates();
    const square = [...dWeights.values()].flatMap((values) => [...values]).reduce((sum, g) => sum + g * g, 0);
    assert(square > 1, `the norm is ${Math.sqrt(square)}`);
    const factor = 0.125 / (Math.sqrt(square) + 1e-6);
    for (const [name, start] of before) {
      const expected = start.map((w, i) => w - factor * dWeights.get(name)![i]);
      assertClose(after.get(name)!, expected, { tolerance: 1e-6, what: name });
      const average = start.map((w, i) => w + (after.get(name)![i] - w) / 4);
      assertClose(states.get(averageName(name))!, average, { tolerance: 1e-6, what: `average of ${name}` });
    }
  } finally {
    session.close();
  }
});

Deno.test("substitute() puts the averages in the parameters' place, and the parameters back", async () => {
  const { graph, y, dy, step } = recordLinear(3);
  differentiate(graph, new Map([[y, dy]]), linearCombination);
  sgd(graph, { momentum: 0, weightDecay: 0, step });
  const [first] = movingAverage(graph, 0.5);
  const session = await GraphSession.open(graph, { keep: [] });
  try {
    const { variables } = session;
    session.uploadParameters(new Map([["linear.weight", [1, 2, 3]], ["linear.bias", [4, 5, 6]]]));
    session.uploadStates(
      new Map([[averageName("linear.weight"), [7, 8, 9]], [averageName("linear.bias"), [10, 11, 12]]]),
    );
    const parameters = async () => [...(await variables.downloadParameters()).values()].map((values) => [...values]);
    const version = variables.version;
    {
      using _averages = variables.substitute(first);
      assertEquals(await parameters(), [[7, 8, 9], [10, 11, 12]]);
      assert(variables.version > version);
    }
    assertEquals(await parameters(), [[1, 2, 3], [4, 5, 6]]);
  } finally {
    session.close();
  }
});
