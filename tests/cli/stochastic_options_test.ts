import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../src/cli/errors.ts";
import { readInvocation } from "../../src/cli/options.ts";
import { stochasticConfig, stochasticOptions } from "../../src/cli/stochastic_options.ts";
import { DepthRule, DropScaling } from "../../src/gen/mod.ts";

function read(line: string) {
  const positionals = { placeholder: "", minimum: 0, maximum: 0 };
  const args = line.split(" ").filter((word) => word !== "");
  return stochasticConfig(readInvocation(args, { options: stochasticOptions, common: {}, positionals }).values);
}

Deno.test("stochasticConfig() says what its options say, and nothing without them", () => {
  assertEquals(read(""), undefined);
  assertEquals(read("--stochastic-depth 0.8"), {
    depth: { survival: 0.8, depthRule: undefined, dropScaling: undefined },
  });
  assertEquals(read("--stochastic-depth 0.5 --depth-rule one-based --drop-scaling test"), {
    depth: { survival: 0.5, depthRule: DepthRule.ONE_BASED, dropScaling: DropScaling.TEST },
  });
});

Deno.test("stochasticConfig() refuses an option that says more of one that is not given", () => {
  for (const option of ["--depth-rule one-based", "--drop-scaling test"]) {
    const { message } = assertThrows(() => read(option), UsageError);
    assertEquals(message, `Option ${option.split(" ")[0]} needs --stochastic-depth`);
  }
});
