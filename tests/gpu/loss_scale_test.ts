/** Updates under a loss scale: what is skipped, how the scale moves, and that a good step is the plain one. */
import { assertEquals } from "@std/assert";
import {
  decayScales,
  differentiate,
  encodeStep,
  Graph,
  linear,
  linearCombination,
  lossScale,
  scaleGradient,
  sgd,
  STEP_BYTES,
} from "../../src/gpu/mod.ts";
import { sgdStep } from "../reference/sgd.ts";
import { assertClose } from "../support/golden.ts";
import { GraphSession } from "../support/graph_runner.ts";

/** 64 x 64 weights fill the first 16 KiB of the packed parameters; the biases follow. */
const SIZE = 64;
const OPTIONS = { learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 };

interface ScaleState {
  readonly scale: number;
  readonly good: number;
  readonly skipped: number;
}

/** Takes one step of y = x W^T + b with x = (first, 0, ...): the gradient of b is dy, that of W's first column first dy. */
async function stepOnce(
  before: ScaleState,
  dOutput: Float64Array,
  { first = 1, storageBindingBytes }: { first?: number; storageBindingBytes?: number } = {},
) {
  const graph = new Graph({ training: true });
  const step = graph.input("step", STEP_BYTES);
  const x = graph.source("x", [1, SIZE]);
  const y = linear(graph, x, { name: "linear", outputs: SIZE });
  const cotangent = graph.source("dy", y.shape);
  const scale = lossScale(graph);
  differentiate(graph, new Map([[y, scaleGradient(graph, cotangent, scale)]]), linearCombination);
  sgd(graph, { ...OPTIONS, step, lossScale: scale });
  const session = await GraphSession.open(graph, { keep: [], storageBindingBytes });
  try {
    const weight = Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i));
    const bias = Float32Array.from({ length: SIZE }, (_, i) => Math.cos(i));
    const velocity = { weight: weight.map((value) => value / 3), bias: bias.map((value) => value / 3) };
    session.uploadParameters(new Map([["linear.weight", weight], ["linear.bias", bias]]));
    const { variables } = session;
    variables.uploadVelocities(new Map([["linear.weight", velocity.weight], ["linear.bias", velocity.bias]]));
    session.uploadStates(
      new Map([
        ["optimizer.loss_scale", [before.scale]],
        ["optimizer.good_steps", [before.good]],
        ["optimizer.skipped_steps", [before.skipped]],
      ]),
    );
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: OPTIONS.learningRate, seed: 0, epoch: 0 }));
    session.writeSource(x, Array.from({ length: SIZE }, (_, i) => i === 0 ? first : 0));
    session.writeSource(cotangent, dOutput);
    session.step();
    const states = await variables.downloadStates();
    const state = (name: string) => states.get(`optimizer.${name}`)![0];
    return {
      before: { weight, bias, velocity },
      parameters: await variables.downloadParameters(),
      velocities: await variables.downloadVelocities(),
      state: { scale: state("loss_scale"), good: state("good_steps"), skipped: state("skipped_steps") },
    };
  } finally {
    session.close();
  }
}

function gradients(change: Record<number, number> = {}): Float64Array {
  const values = Float64Array.from({ length: SIZE }, (_, i) => Math.fround(Math.sin(3 * i + 1)));
  for (const [index, value] of Object.entries(change)) values[Number(index)] = value;
  return values;
}

for (const storageBindingBytes of [undefined, 16384]) {
  const parts = storageBindingBytes ? "two bindings" : "one binding";

  Deno.test(`sgd() undoes the loss scale, parameters in ${parts}`, async () => {
    const dOutput = gradients();
    const result = await stepOnce({ scale: 1024, good: 3, skipped: 2 }, dOutput, { storageBindingBytes });
    assertEquals(result.state, { scale: 1024, good: 4, skipped: 2 });
    const { before: { bias, velocity } } = result;
    const start = { parameter: Float64Array.from(bias), velocity: Float64Array.from(velocity.bias) };
    const expected = sgdStep(start, dOutput, OPTIONS);
    assertClose(result.parameters.get("linear.bias")!, expected.parameter, { tolerance: 1e-6, what: "bias" });
    assertClose(result.velocities.get("linear.bias")!, expected.velocity, { tolerance: 1e-6, what: "velocity" });
  });

  for (const bad of [Infinity, -Infinity, NaN]) {
    Deno.test(`sgd() skips the step and halves the scale for a gradient of ${bad}, parameters in ${parts}`, async () => {
      // Of the last bias and the last weights.
      const dOutput = gradients({ [SIZE - 1]: bad });
      const result = await stepOnce({ scale: 1024, good: 7, skipped: 2 }, dOutput, { storageBindingBytes });
      assertEquals(result.state, { scale: 512, good: 0, skipped: 3 });
      const { before: { weight, bias, velocity } } = result;
      assertEquals(result.parameters, new Map([["linear.weight", weight], ["linear.bias", bias]]));
      assertEquals(result.velocities, new Map([["linear.weight", velocity.weight], ["linear.bias", velocity.bias]]));
    });
  }
}

Deno.test("sgd() skips the step where the first of two bindings alone has an infinite gradient", async () => {
  const result = await stepOnce({ scale: 1, good: 0, skipped: 0 }, gradients({ 0: 2 ** 60 }), {
    first: 2 ** 70,
    storageBindingBytes: 16384,
  });
  assertEquals(result.state, { scale: 1, good: 0, skipped: 1 });
  assertEquals(result.parameters.get("linear.weight"), result.before.weight);
});

Deno.test("sgd() skips a step whose gradients are infinite by the scale alone", async () => {
  const result = await stepOnce({ scale: 2 ** 60, good: 0, skipped: 0 }, gradients({ 5: 2 ** 70 }));
  assertEquals(result.state, { scale: 2 ** 59, good: 0, skipped: 1 });
  assertEquals(result.parameters.get("linear.bias"), result.before.bias);
});

Deno.test("the loss scale doubles with the 2,000th good step in a row and stays within its bounds", async () => {
  const after = async (before: ScaleState, bad = false) => {
    return (await stepOnce(before, gradients(bad ? { 0: NaN } : {}))).state;
  };
  assertEquals(await after({ scale: 64, good: 1998, skipped: 1 }), { scale: 64, good: 1999, skipped: 1 });
  assertEquals(await after({ scale: 64, good: 1999, skipped: 1 }), { scale: 128, good: 0, skipped: 1 });
  assertEquals(await after({ scale: 2 ** 64, good: 1999, skipped: 0 }), { scale: 2 ** 64, good: 0, skipped: 0 });
  assertEquals(await after({ scale: 1, good: 5, skipped: 0 }, true), { scale: 1, good: 0, skipped: 1 });
});
