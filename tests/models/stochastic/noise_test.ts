import { assertEquals } from "@std/assert";
import { Graph } from "../../../src/gpu/mod.ts";
import { recordNoise } from "../../../src/models/stochastic/noise.ts";

Deno.test("recordNoise() follows the first block with Gaussian noise, later ones with uniform noise, or as chosen", () => {
  const kinds = (kind: "gaussian_then_uniform" | "gaussian" | "uniform", training = true) => {
    const graph = new Graph({ training });
    const u = graph.source("u", [1, 4, 4, 4]);
    for (const index of [0, 1]) recordNoise(graph, u, { kind, sigma: 1 }, { name: `block${index}`, index, blocks: 2 });
    return graph.operations.map(({ description }) => description);
  };
  assertEquals(kinds("gaussian_then_uniform"), ["gaussian noise", "uniform noise"]);
  assertEquals(kinds("gaussian"), ["gaussian noise", "gaussian noise"]);
  assertEquals(kinds("uniform"), ["uniform noise", "uniform noise"]);
  assertEquals(kinds("uniform", false), []);
});
