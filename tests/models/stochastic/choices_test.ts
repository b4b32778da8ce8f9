import { assertEquals, assertThrows } from "@std/assert";
import { Graph } from "../../../src/gpu/mod.ts";
import { buildNetwork, ModelError, type ModelSpec, type StochasticTraining } from "../../../src/models/mod.ts";

const depth = { survival: 0.5, rule: "zero_based", scaling: "training" } as const;
const dropPath = { rate: 0.15, globalShare: 0.5 };
const noise = { kind: "gaussian", sigma: 0.001 } as const;

function build(spec: ModelSpec, stochastic: StochasticTraining): Graph {
  const graph = new Graph({ training: true });
  buildNetwork(graph, spec, graph.source("images", [1, 8, 8, 3]), { classes: 10, stochastic });
  return graph;
}

function message(spec: ModelSpec, stochastic: StochasticTraining): string {
  return assertThrows(() => build(spec, stochastic), ModelError).message;
}

Deno.test("buildNetwork() takes the chance that a scheme has a place for", () => {
  // A draw for each of the three blocks, but those that are certain; two for joins and mixtures.
  assertEquals(build({ name: "lm-resnet-8" }, { depth, noise }).draws.length, 2 + 3);
  assertEquals(build({ name: "resnet-8", scheme: "rk4" }, { depth }).draws.length, 2);
  assertEquals(build({ name: "fractalnet-8", columns: 3 }, { dropPath, noise }).draws.length, 3 * (2 * 3 + 1));
  // Two of its blocks change the shape.
  assertEquals(build({ name: "polynet-2way-8" }, { shakeShake: true }).draws.length, 2);
});

Deno.test("buildNetwork() says which chance a network has no place for", () => {
  assertEquals(
    message({ name: "fractalnet-8" }, { depth }),
    'Cannot use stochastic depth with "fractalnet-8": it needs a scheme of u and one increment, which it may drop; its ' +
      "scheme is fractal of 2 columns",
  );
  assertEquals(
    message({ name: "lm-resnet-8" }, { dropPath }),
    'Cannot use drop-path with "lm-resnet-8": it needs a fractal of two columns at least; its scheme is linear multi-step',
  );
  assertEquals(
    message({ name: "fractalnet-8", columns: 1 }, { dropPath }),
    'Cannot use drop-path with "fractalnet-8": it needs a fractal of two columns at least; its scheme is fractal of 1 ' +
      "columns",
  );
  assertEquals(
    message({ name: "polynet-poly2-8" }, { shakeShake: true }),
    'Cannot use shake-shake with "polynet-poly2-8": it needs the two-way scheme, whose branches it mixes; its scheme is ' +
      "poly-2",
  );
  for (const stochastic of [{ depth }, { dropPath }, { shakeShake: true as const }, { noise }]) {
    message({ name: "revnet-8" }, stochastic);
  }
  assertEquals(
    message({ name: "polynet-2way-8" }, { depth, shakeShake: true }),
    'Cannot train "polynet-2way-8" stochastically: either stochastic depth or shake-shake decides on f',
  );
});

Deno.test("buildNetwork() says which number of chance is out of range", () => {
  const about = 'Cannot train "m" stochastically: ';
  const wrong: readonly (readonly [StochasticTraining, string])[] = [
    ...[0, -1, 1.5, NaN].map((survival) =>
      [
        { depth: { ...depth, survival } },
        `the survival of the last block must be above 0 and at most 1, got ${survival}`,
      ] as const
    ),
    [{ dropPath: { ...dropPath, rate: 1 } }, "the rate of drop-path must be from 0 to below 1, got 1"],
    [{ dropPath: { ...dropPath, globalShare: 2 } }, "the global share of drop-path must be from 0 to 1, got 2"],
    [{ noise: { ...noise, sigma: -1 } }, "the sigma of noise must be a finite number of at least 0, got -1"],
  ];
  for (const [stochastic, detail] of wrong) {
    const name = stochastic.dropPath ? "fractalnet-8" : "lm-resnet-8";
    assertEquals(message({ name }, stochastic), about.replace("m", name) + detail);
  }
});
