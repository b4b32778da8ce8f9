/** Stochastic depth: who survives, and that a network whose blocks do is the plain one. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { StochasticDepth } from "../../../src/models/mod.ts";
import { survivalProbability, survives } from "../../../src/models/stochastic/depth.ts";
import { stochasticStep } from "../../support/stochastic_step.ts";

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

Deno.test("a network whose blocks all survive is the plain one, bit for bit", async (t) => {
  const { draws: _, ...plain } = await stochasticStep("lm_resnet", undefined, { key: { seed: 0, step: 0 } });
  await t.step("with p = 1: nothing is drawn", async () => {
    const depth: StochasticDepth = { survival: 1, rule: "one_based", scaling: "training" };
    const { draws, ...certain } = await stochasticStep("lm_resnet", { depth }, { key: { seed: 0, step: 0 } });
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
    const { draws, ...open } = await stochasticStep("lm_resnet", { depth }, { key: { seed: 1, step } });
    assertEquals(draws, blocks - 1);
    assertEquals(open, plain);
  });
});
