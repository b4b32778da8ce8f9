import { create } from "@bufbuild/protobuf";
import { assertEquals } from "@std/assert";
import { ModelSpecSchema } from "../../src/gen/mod.ts";
import { type ModelSpec, schemeNames } from "../../src/models/mod.ts";
import { toModelSpec } from "../../src/server/convert/model_spec.ts";
import { checkModelSpec } from "../../src/server/validation/model_spec.ts";

Deno.test("toModelSpec() and checkModelSpec() are inverse, for every choice and none", () => {
  const specs: ModelSpec[] = [
    { name: "resnet-20" },
    { name: "fractalnet-20", columns: 4 },
    ...schemeNames.map((scheme) => ({ name: "resnet-20", scheme })),
    ...(["plain", "project_both"] as const).map((transition) => ({ name: "lm-resnet-20", transition })),
    ...(["pre", "post"] as const).map((activation) => ({ name: "resnet-50", activation })),
    ...(["projection", "bare_projection", "zero_pad"] as const).map((shortcut) => ({ name: "resnet-20", shortcut })),
    { name: "lm-resnet-20", perChannelCoefficients: true },
    {
      name: "my-network",
      network: {
        stem: "large",
        stemChannels: 8,
        stages: [
          { block: "basic", blocks: 2, channels: 8, groups: 1 },
          { block: "bottleneck", blocks: 1, channels: 32, stride: 1, innerChannels: 16, groups: 4 },
        ],
      },
    },
  ];
  for (const spec of specs) assertEquals(checkModelSpec("model", create(ModelSpecSchema, toModelSpec(spec))), spec);
});
