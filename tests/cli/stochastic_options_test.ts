import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../src/cli/errors.ts";
import { readInvocation } from "../../src/cli/options.ts";
import { stochasticConfig, stochasticOptions } from "../../src/cli/stochastic_options.ts";
import { DepthRule, DropScaling, NoiseKind } from "../../src/gen/mod.ts";

function read(line: string, recipe?: string) {
  const positionals = { placeholder: "", minimum: 0, maximum: 0 };
  const args = line.split(" ").filter((word) => word !== "");
  const { values } = readInvocation(args, { options: stochasticOptions, common: {}, positionals });
  return stochasticConfig({ ...values, recipe });
}

Deno.test("stochasticConfig() says what its options say, and nothing without them", () => {
  const others = { dropPath: undefined, shakeShake: undefined, noise: undefined };
  assertEquals(read(""), undefined);
  assertEquals(read("--stochastic-depth 0.8"), {
    ...others,
    depth: { survival: 0.8, depthRule: undefined, dropScaling: undefined },
  });
  assertEquals(read("--stochastic-depth 0.5 --depth-rule one-based --drop-scaling test"), {
    ...others,
    depth: { survival: 0.5, depthRule: DepthRule.ONE_BASED, dropScaling: DropScaling.TEST },
  });
});

Deno.test("stochasticConfig() takes drop-path, shake-shake and noise", () => {
  const none = { depth: undefined, dropPath: undefined, shakeShake: undefined, noise: undefined };
  assertEquals(read("--drop-path 0.15"), { ...none, dropPath: { rate: 0.15, globalShare: undefined } });
  assertEquals(read("--drop-path 0 --drop-path-global 1"), { ...none, dropPath: { rate: 0, globalShare: 1 } });
  assertEquals(read("--shake-shake"), { ...none, shakeShake: true });
  assertEquals(read("--noise gaussian-then-uniform"), {
    ...none,
    noise: { noiseKind: NoiseKind.GAUSSIAN_THEN_UNIFORM },
  });
  assertEquals(read("--noise uniform:1e-2"), { ...none, noise: { noiseKind: NoiseKind.UNIFORM, sigma: 0.01 } });
  assertThrows(
    () => read("--noise pink"),
    UsageError,
    "Option --noise must be one of gaussian-then-uniform, gaussian,",
  );
  assertThrows(() => read("--noise gaussian:much"), UsageError, 'must be a number of at least 0, not "much"');
});

Deno.test("stochasticConfig() refuses an option that says more of one that is not given", () => {
  for (
    const [option, needed] of [
      ["--depth-rule one-based", "--stochastic-depth"],
      ["--drop-scaling test --shake-shake", "--stochastic-depth"],
      ["--drop-path-global 0.5", "--drop-path"],
    ]
  ) {
    const { message } = assertThrows(() => read(option), UsageError);
    assertEquals(message, `Option ${option.split(" ")[0]} needs ${needed}`);
  }
});

Deno.test("stochasticConfig() says more of what a recipe chooses", () => {
  assertEquals(read("--depth-rule one-based", "lm-stochastic-56-cifar10")?.depth, {
    survival: undefined,
    depthRule: DepthRule.ONE_BASED,
    dropScaling: undefined,
  });
});
