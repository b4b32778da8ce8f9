import { create } from "@bufbuild/protobuf";
import { assertEquals, assertThrows } from "@std/assert";
import { DepthRule, DropScaling, NoiseKind, StochasticConfigSchema } from "../../src/gen/mod.ts";
import type { StochasticTraining } from "../../src/models/mod.ts";
import { toStochasticConfig } from "../../src/server/convert/stochastic.ts";
import { InvalidFieldError } from "../../src/server/errors.ts";
import { checkStochastic } from "../../src/server/validation/stochastic.ts";

const depths = (["zero_based", "one_based"] as const).flatMap((rule) =>
  (["training", "test"] as const).map((scaling) => ({ depth: { survival: 0.8, rule, scaling } }))
);

Deno.test("toStochasticConfig() and checkStochastic() are inverse, for every choice", () => {
  const all: readonly StochasticTraining[] = [
    ...depths,
    { dropPath: { rate: 0, globalShare: 1 } },
    { shakeShake: true },
    ...(["gaussian_then_uniform", "gaussian", "uniform"] as const).map((kind) => ({ noise: { kind, sigma: 0 } })),
    { ...depths[0], dropPath: { rate: 0.5, globalShare: 0 }, shakeShake: true, noise: { kind: "uniform", sigma: 1 } },
  ];
  for (const choices of all) {
    const message = create(StochasticConfigSchema, toStochasticConfig(choices));
    assertEquals(checkStochastic("stochastic", message), choices);
  }
});

Deno.test("checkStochastic() fills in what is left out, and keeps nothing of an empty message", () => {
  assertEquals(checkStochastic("stochastic", create(StochasticConfigSchema, { depth: { survival: 1 } })), {
    depth: { survival: 1, rule: "zero_based", scaling: "training" },
  });
  assertEquals(checkStochastic("stochastic", create(StochasticConfigSchema, { dropPath: {}, noise: {} })), {
    dropPath: { rate: 0.15, globalShare: 0.5 },
    noise: { kind: "gaussian_then_uniform", sigma: 0.001 },
  });
  assertEquals(checkStochastic("stochastic", create(StochasticConfigSchema, {})), undefined);
  assertEquals(checkStochastic("stochastic", undefined), undefined);
});

Deno.test("checkStochastic() names the field that is wrong", () => {
  const refuses = (fields: Parameters<typeof create<typeof StochasticConfigSchema>>[1], message: string) =>
    assertThrows(
      () => checkStochastic("config.stochastic", create(StochasticConfigSchema, fields)),
      InvalidFieldError,
      message,
    );
  refuses(
    { depth: {} },
    'Field "config.stochastic.depth.survival" must be above 0 and at most 1, got 0',
  );
  refuses({ depth: { survival: 1.01 } }, "got 1.01");
  refuses({ depth: { survival: NaN } }, "got NaN");
  refuses(
    { depth: { survival: 0.5, depthRule: 3 as DepthRule } },
    'Field "config.stochastic.depth.depth_rule" must be DEPTH_RULE_ZERO_BASED (1), DEPTH_RULE_ONE_BASED (2), or left',
  );
  refuses(
    { depth: { survival: 0.5, dropScaling: 9 as DropScaling } },
    'Field "config.stochastic.depth.drop_scaling" must be DROP_SCALING_TRAINING (1), DROP_SCALING_TEST (2), or left',
  );
  refuses({ dropPath: { rate: 1 } }, 'Field "config.stochastic.drop_path.rate" must be from 0 to below 1, got 1');
  refuses({ dropPath: { globalShare: 1.5 } }, 'Field "config.stochastic.drop_path.global_share" must be from 0 to 1');
  refuses({ noise: { sigma: -1 } }, 'Field "config.stochastic.noise.sigma" must be 0, or from 1.18e-38 to 3.4e38');
  refuses(
    { noise: { noiseKind: 4 as NoiseKind } },
    'Field "config.stochastic.noise.noise_kind" must be NOISE_KIND_GAUSSIAN_THEN_UNIFORM (1), NOISE_KIND_GAUSSIAN (2)',
  );
});
