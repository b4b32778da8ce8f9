import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Graph } from "../../src/gpu/mod.ts";
import { learnedCoefficient } from "../../src/models/analysis/network_analysis.ts";
import {
  characteristicPolynomial,
  isZeroStable,
  type Polynomial,
  rootsOf,
} from "../../src/models/analysis/stability.ts";
import { analyzeNetwork, buildNetwork, describeScheme, type ModelSpec, schemeNames } from "../../src/models/mod.ts";

function weightsOf(spec: ModelSpec, k: (index: number) => number) {
  const graph = new Graph({ training: true });
  buildNetwork(graph, spec, graph.source("images", [1, 32, 32, 3]), { classes: 10 });
  let index = 0;
  return new Map(graph.parameters.map(({ tensor: { name, shape } }) => {
    const isCoefficient = name.endsWith(".k");
    return [name, { shape, data: Float32Array.from({ length: shape[0] }, () => isCoefficient ? k(index++) : 0) }];
  }));
}

Deno.test("analyzeNetwork() gives every block of a linear multi-step network its k, in order of depth", () => {
  const spec = { name: "lm-resnet-20" };
  const { scheme, blocks } = analyzeNetwork(spec, weightsOf(spec, (index) => index / 10 - 0.2));
  assertEquals(scheme.name, "linear multi-step");
  assertEquals(
    blocks.map(({ name, stage, step, coefficient }) => [name, stage, step, coefficient?.mean.toFixed(1)]),
    [
      ["stage1.block0", 1, 1, undefined],
      ["stage1.block1", 1, 2, "-0.2"],
      ["stage1.block2", 1, 3, "-0.1"],
      ["stage2.block0", 2, 4, undefined],
      ["stage2.block1", 2, 5, "0.0"],
      ["stage2.block2", 2, 6, "0.1"],
      ["stage3.block0", 3, 7, undefined],
      ["stage3.block1", 3, 8, "0.2"],
      ["stage3.block2", 3, 9, "0.3"],
    ],
  );
});

Deno.test("analyzeNetwork() sees the blocks that change the shape where both terms are projected, and every channel's k", () => {
  const spec: ModelSpec = { name: "lm-resnet-20", transition: "project_both", perChannelCoefficients: true };
  const { blocks } = analyzeNetwork(spec, weightsOf(spec, (index) => index % 2 === 0 ? 0.5 : -1.5));
  assertEquals(blocks.map(({ coefficient }) => coefficient?.channels), [undefined, 16, 16, 32, 32, 32, 64, 64, 64]);
  assertEquals(blocks[1].coefficient, {
    mean: -0.5,
    minimum: -1.5,
    maximum: 0.5,
    channels: 16,
    effectiveStep: 2,
    acceleration: 0.75,
    stableChannels: 8,
    zeroStable: false,
  });
});

Deno.test("analyzeNetwork() of other schemes has what is constant of them, and no blocks", () => {
  for (
    const [spec, name, order, roots] of [
      [{ name: "resnet-20" }, "forward Euler", 1, 1],
      [{ name: "resnet-20", scheme: "midpoint" }, "midpoint", 2, 2],
      [{ name: "revnet-20" }, "reversible", 1, 1],
      [{ name: "polynet-poly3-20" }, "poly-3", 1, 1],
      [{ name: "fractalnet-20", columns: 3 }, "fractal of 3 columns", 1, 1],
    ] as const
  ) {
    const { scheme, blocks } = analyzeNetwork(spec, new Map());
    assertEquals([scheme.name, scheme.order, scheme.roots.length, scheme.zeroStable, blocks], [
      name,
      order,
      roots,
      true,
      [],
    ]);
    assert(Math.abs(scheme.measuredOrder - order) < 0.2);
  }
});

Deno.test("learnedCoefficient() is zero-stable for -1 < k <= 1, to the next 32-bit float", () => {
  const spacing = 2 ** -23;
  for (
    const [k, stable] of [
      [0, true],
      [1, true],
      [1 + spacing, false],
      [-1, false],
      [-1 + spacing / 2, true],
      [-1 - spacing, false],
      [-2.07, false],
      [NaN, false],
    ] as const
  ) assertEquals([k, learnedCoefficient(Float32Array.of(k)).zeroStable], [k, stable]);
  assertEquals(learnedCoefficient(Float32Array.of(-1)).effectiveStep, undefined);
  assertEquals(learnedCoefficient(Float32Array.of(-2)).effectiveStep, -1);
});

Deno.test("characteristicPolynomial() of the linear multi-step scheme is (z - 1)(z + k)", () => {
  const polynomial = characteristicPolynomial({ scheme: "linear_multistep" });
  for (const k of [-2, -1, 0, 0.3, 1]) {
    for (const root of [1, -k]) {
      assert(rootsOf(polynomial(k)).some(({ real, imaginary }) => Math.abs(real - root) < 1e-12 && imaginary === 0));
    }
  }
});

Deno.test("rootsOf() finds complex roots, and real ones of very different size", () => {
  assertEquals(rootsOf([1, -2, 5]), [{ real: 1, imaginary: 2 }, { real: 1, imaginary: -2 }]);
  const [large, small] = rootsOf([1, -1e9, 1]);
  assertAlmostEquals(large.real, 1e9, 1e-3);
  assertAlmostEquals(small.real, 1e-9, 1e-20);
  assertEquals(rootsOf([1, 0, 0]).map(({ real }) => Math.abs(real)), [0, 0]);
});

Deno.test("isZeroStable() looks at how often a root lies on the unit circle", () => {
  const twiceOne: Polynomial = [1, -2, 1];
  assertEquals([isZeroStable(twiceOne), isZeroStable(twiceOne, 2)], [false, true]);
  // exp(+-i) once each, and twice the size.
  assertEquals(isZeroStable([1, -2 * Math.cos(1), 1]), true);
  assertEquals(isZeroStable([1, -4 * Math.cos(1), 4]), false);
  assertEquals([isZeroStable([1, -1]), isZeroStable([1, -1.1])], [true, false]);
});

Deno.test("every scheme is zero-stable as it is recorded", () => {
  const stable = schemeNames.filter((scheme) => describeScheme({ scheme }).zeroStable);
  assertEquals(stable, [...schemeNames]);
});
