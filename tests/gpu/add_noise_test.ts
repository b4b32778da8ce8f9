import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { addNoise, differentiate, Graph, linearCombination, ShapeError } from "../../src/gpu/mod.ts";
import { GraphSession, testPrecisions } from "../support/graph_runner.ts";

/** Six channels, so that a quad has padding. */
const SHAPE = [4, 9, 8, 6];
const LENGTH = SHAPE.reduce((a, b) => a * b);
const SIGMA = 0.5;
const x = Float64Array.from({ length: LENGTH }, (_, i) => Math.sin(i));

function moments(values: readonly number[]) {
  const mean = values.reduce((a, b) => a + b) / values.length;
  const central = (power: number) => values.reduce((sum, value) => sum + (value - mean) ** power, 0) / values.length;
  return { mean, variance: central(2), kurtosis: central(4) / central(2) ** 2 };
}

/** The noise of steps whose salts are given. */
async function noiseOf(
  distribution: "gaussian" | "uniform",
  salts: readonly number[],
  precision: "f32" | "mixed" = "f32",
): Promise<number[][]> {
  const graph = new Graph({ training: true, precision });
  const source = graph.source("x", SHAPE);
  const salt = graph.draw("salt", { sample: ({ step }) => salts[step] });
  const y = addNoise(graph, source, { name: "y", distribution, sigma: SIGMA, salt });
  const session = await GraphSession.open(graph, { keep: [y] });
  try {
    session.uploadParameters();
    session.uploadStates();
    session.writeSource(source, x);
    const noise: number[][] = [];
    for (let step = 0; step < salts.length; step++) {
      session.draw({ seed: 0, step });
      session.step();
      noise.push(Array.from(await session.read(y), (value, i) => value - x[i]));
    }
    return noise;
  } finally {
    session.close();
  }
}

for (const precision of await testPrecisions()) {
  Deno.test(`addNoise() draws from N(0, sigma) and U(0, sigma): ${precision}`, async () => {
    const gaussian = moments((await noiseOf("gaussian", [1, 2, 3], precision)).flat());
    // Four standard errors of the mean of 5,184 values, and more for the higher moments.
    assertAlmostEquals(gaussian.mean, 0, 0.03);
    assertAlmostEquals(gaussian.variance, SIGMA ** 2, 0.02);
    assertAlmostEquals(gaussian.kurtosis, 3, 0.3);
    const values = (await noiseOf("uniform", [1, 2, 3], precision)).flat();
    const uniform = moments(values);
    assertAlmostEquals(uniform.mean, SIGMA / 2, 0.01);
    assertAlmostEquals(uniform.variance, SIGMA ** 2 / 12, 0.001);
    assertAlmostEquals(uniform.kurtosis, 1.8, 0.1);
    const rounding = 1e-3;
    assert(values.every((value) => value >= -rounding && value <= SIGMA + rounding));
  });
}

Deno.test("addNoise() is the same for the same salt, other for every salt and value", async () => {
  const [first, second, again] = await noiseOf("gaussian", [7, 2 ** 24 - 1, 7]);
  assertEquals(again, first);
  const correlation = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, i) => sum + value * b[i], 0) / LENGTH / SIGMA ** 2;
  // Four standard errors.
  const small = 4 / Math.sqrt(LENGTH);
  assert(Math.abs(correlation(first, second)) < small);
  for (const shift of [1, 2, 3, 4, 6, 48, 432]) {
    const shifted = first.map((_, i) => first[(i + shift) % LENGTH]);
    assert(Math.abs(correlation(first, shifted)) < small, `values ${shift} apart go together`);
  }
});

Deno.test("addNoise() passes the gradient on as it is", () => {
  const graph = new Graph({ training: true });
  const source = graph.source("x", SHAPE, { needsGradient: true });
  const salt = graph.draw("salt", { sample: () => 0 });
  const y = addNoise(graph, source, { name: "y", distribution: "uniform", sigma: 1, salt });
  const cotangent = graph.source("cotangent", SHAPE);
  assertEquals(differentiate(graph, new Map([[y, cotangent]]), linearCombination).get(source), cotangent);
});

Deno.test("addNoise() takes images alone", () => {
  const graph = new Graph({ training: true });
  const salt = graph.draw("salt", { sample: () => 0 });
  const options = { name: "y", distribution: "uniform", sigma: 1, salt } as const;
  assertThrows(
    () => addNoise(graph, graph.source("m", [1, 4]), options),
    ShapeError,
    "the input must be [N, H, W, C], got [1, 4]",
  );
});
