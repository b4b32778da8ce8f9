/** Learning rates, step by step, against PyTorch's schedulers. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { optimizationDefaults, undecayedRoles } from "../../src/engine/optimization.ts";
import { learningRateOf, type ScheduleFields } from "../../src/engine/schedule.ts";
import { loadGolden } from "../support/golden.ts";

const golden = await loadGolden("optimization");

for (const name of golden.cases("schedule")) {
  Deno.test(`learningRateOf() gives every rate that PyTorch gives: ${name}`, () => {
    const options = golden.options(name);
    const { stepsPerEpoch } = options;
    const config = {
      epochs: options.epochs,
      learningRate: options.learningRate,
      milestones: [1, 3],
      factor: 0.5,
      schedule: name.split("_")[1] as ScheduleFields["schedule"],
      warmupEpochs: options.warmupSteps / stepsPerEpoch,
      warmupStartFactor: options.warmupStartFactor,
      finalFactor: options.finalFactor,
    };
    const rates = golden.data(`${name}.rates`);
    assertEquals(rates.length, options.epochs * stepsPerEpoch);
    rates.forEach((rate, step) => {
      const own = learningRateOf(config, { step, stepsPerEpoch });
      assert(Math.abs(own / rate - 1) < 1e-12, `step ${step}: ${own} instead of ${rate}`);
    });
  });
}

const plain: ScheduleFields = { epochs: 4, learningRate: 0.4, milestones: [1, 3], factor: 0.5 };

Deno.test("learningRateOf() of a configuration without a kind takes its milestones at the start of epochs", () => {
  const rates = Array.from({ length: 12 }, (_, step) => learningRateOf(plain, { step, stepsPerEpoch: 3 }));
  assertEquals(rates, [0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1]);
});

Deno.test("learningRateOf() rises within the first epoch when the warm-up is a part of it, and over all epochs at most", () => {
  const half = { ...plain, milestones: [], warmupEpochs: 0.5, warmupStartFactor: 0.25 };
  const rates = Array.from({ length: 6 }, (_, step) => learningRateOf(half, { step, stepsPerEpoch: 4 }));
  [0.1, 0.25, 0.4, 0.4, 0.4, 0.4].forEach((rate, step) => assertAlmostEquals(rates[step], rate, 1e-15));
  const throughout = { ...half, schedule: "cosine", warmupEpochs: 4, warmupStartFactor: 0.5 } as const;
  assertAlmostEquals(learningRateOf(throughout, { step: 15, stepsPerEpoch: 4 }), 0.4 * (0.5 + 0.5 * 15 / 16), 1e-15);
});

Deno.test("undecayedRoles() names what weight decay leaves alone", () => {
  const all = { decayMultistepCoefficients: true };
  assertEquals(undecayedRoles(all), new Set());
  assertEquals(undecayedRoles({ ...optimizationDefaults, ...all }), new Set());
  assertEquals(undecayedRoles({ ...all, decayBatchNorm: false }), new Set(["batch_norm"] as const));
  assertEquals(
    undecayedRoles({ decayMultistepCoefficients: false, decayBiases: false }),
    new Set(["bias", "coefficient"] as const),
  );
});
