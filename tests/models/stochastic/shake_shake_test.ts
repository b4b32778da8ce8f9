import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Graph } from "../../../src/gpu/mod.ts";
import { mixingFactor, recordMixture } from "../../../src/models/stochastic/shake_shake.ts";

const place = { name: "stage1.block2", index: 2, blocks: 3 };

Deno.test("recordMixture() gives shares that sum to 1, drawn anew for every block and step in training", () => {
  const graph = new Graph({ training: true });
  const [eta, rest] = recordMixture(graph, place);
  const etas = Array.from({ length: 4000 }, (_, step) => {
    const key = { seed: 9, step };
    assertEquals(eta.sample(key) + rest.sample(key), 1);
    assert(eta.sample(key) !== mixingFactor(key, 1));
    return eta.sample(key);
  });
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;
  assertAlmostEquals(mean(etas), 1 / 2, 0.02);
  assertAlmostEquals(mean(etas.map((value) => value * value)), 1 / 3, 0.02);
  assert(etas.every((value) => value >= 0 && value < 1));
});

Deno.test("recordMixture() gives halves in evaluation", () => {
  const graph = new Graph({ training: false });
  const shares = recordMixture(graph, place).map((draw) => draw.sample({ seed: 0, step: 0 }));
  assertEquals(shares, [1 / 2, 1 / 2]);
});
