import { assert, assertEquals, assertThrows } from "@std/assert";
import { Graph, type ParameterRole } from "../../src/gpu/mod.ts";
import {
  buildNetwork,
  describeModel,
  ModelError,
  modelFamilies,
  type ModelSpec,
  type NetworkSpec,
  schemeNames,
} from "../../src/models/mod.ts";

const input = { height: 32, width: 32, channels: 3 };

function count(spec: ModelSpec, classes = 10): number {
  return describeModel(spec, input, classes).parameters;
}

const published: readonly (readonly [name: string, parameters: number])[] = [
  ["resnet-20", 272_378],
  ["resnet-32", 466_810],
  ["resnet-44", 661_242],
  ["resnet-56", 855_674],
  ["resnet-110", 1_730_618],
  ["lm-resnet-20", 272_384],
  ["lm-resnet-32", 466_822],
  ["lm-resnet-44", 661_260],
  ["lm-resnet-56", 855_698],
  ["lm-resnet-110", 1_730_669],
  ["resnext-29-8x64d", 34_426_698],
  ["resnext-29-16x64d", 68_155_210],
  ["lm-resnext-29-8x64d", 35_081_674 + 8],
  ["lm-resnext-29-16x64d", 68_810_186 + 8],
];

Deno.test("describeModel() counts the parameters that were published for CIFAR-10", () => {
  for (const [name, parameters] of published) assertEquals(count({ name }), parameters, `${name}: ${count({ name })}`);
});

Deno.test("describeModel() counts what 100 classes add to the last layer", () => {
  for (const [name, parameters] of published) {
    const added = name.includes("resnext") ? 92_250 : 5_850;
    assertEquals(count({ name }, 100), parameters + added, `${name}: ${count({ name }, 100)}`);
  }
});

Deno.test("describeModel() counts the scalars and history projections of the transition that was chosen", () => {
  // Stages 2 and 3 gain a k and a BN-ReLU-1x1 projection each: 2 * 16 + 16 * 32 and 2 * 32 + 32 * 64.
  assertEquals(count({ name: "lm-resnet-20", transition: "project_both" }), 272_384 + 2 + 544 + 2112);
  // Pre-activation ResNeXt, and 3n - 3 scalars.
  assertEquals(count({ name: "lm-resnext-29-8x64d", transition: "plain" }), 34_424_778 + 6);
  assertEquals(count({ name: "lm-resnext-29-16x64d", transition: "plain" }), 68_153_290 + 6);
  assertEquals(
    count({ name: "lm-resnext-29-8x64d", transition: "project_both" }),
    count({
      name: "lm-resnext-29-8x64d",
    }),
  );
});

/** PAPER.md, section 7, and torchvision's ResNeXt-50. */
const imageNet: readonly (readonly [ModelSpec, number])[] = [
  [{ name: "resnet-50" }, 25_557_032],
  [{ name: "resnet-101" }, 44_549_160],
  [{ name: "resnet-152" }, 60_192_808],
  [{ name: "resnet-50", activation: "pre" }, 25_549_480],
  [{ name: "resnet-101", activation: "pre" }, 44_541_608],
  [{ name: "resnet-152", activation: "pre" }, 60_185_256],
  // A scalar for each block but the first of the four stages.
  [{ name: "lm-resnet-50" }, 25_549_480 + 16 - 4],
  [{ name: "lm-resnet-101" }, 44_541_608 + 33 - 4],
  [{ name: "lm-resnet-152" }, 60_185_256 + 50 - 4],
  [{ name: "resnext-50-32x4d" }, 25_028_904],
  [{ name: "resnext-101-32x8d" }, 88_791_336],
  [{ name: "lm-resnext-50-32x4d", activation: "post" }, 25_028_904 + 12],
];

Deno.test("describeModel() counts the parameters of ImageNet's networks", () => {
  for (const [spec, parameters] of imageNet) {
    const description = describeModel(spec, { height: 224, width: 224, channels: 3 }, 1000);
    assertEquals(description.parameters, parameters, JSON.stringify(spec));
    assertEquals(description.layers.find(({ name }) => name === "stem.pool")?.outputShape, [56, 56, 64]);
    const last = description.layers.find(({ name }) => name === "stage4.block0.u");
    assertEquals(last?.outputShape, [7, 7, 2048]);
  }
});

Deno.test("describeModel() counts option A shortcuts, bottlenecks and pre-activation ResNeXt as the paper does", () => {
  for (const depth of [20, 32, 44, 56, 110]) {
    const n = (depth - 2) / 6;
    assertEquals(count({ name: `resnet-${depth}`, shortcut: "zero_pad" }), 97_216 * n - 21_926);
    assertEquals(count({ name: `lm-resnet-${depth}`, shortcut: "zero_pad" }), 97_216 * n - 21_926 + 3 * n - 3);
  }
  assertEquals(count({ name: "resnet-164" }), 1_703_674);
  assertEquals(count({ name: "lm-resnet-164" }), 1_703_725);
  assertEquals(count({ name: "resnet-164" }, 100), 1_703_674 + 23_130);
  assertEquals(count({ name: "resnet-164-bottleneck" }), 1_703_674);
  assertEquals(count({ name: "resnet-110-bottleneck" }), 92_736 * 12 + 34_426);
  assertEquals(count({ name: "resnet-50-basic" }), 97_216 * 8 - 19_270);
  assertEquals(count({ name: "resnext-29-8x64d", activation: "pre" }), 34_424_778);
  assertEquals(count({ name: "resnext-29-16x64d", activation: "pre" }), 68_153_290);
});

Deno.test("describeModel() counts what a scheme adds: terms of their own, scalars, nothing for shared weights", () => {
  const plain = count({ name: "resnet-20" });
  for (const scheme of ["midpoint", "leapfrog", "rk4", "momentum", "poly_2", "poly_3"] as const) {
    assertEquals(count({ name: "resnet-20", scheme }), plain, scheme);
  }
  const own = [16, 32, 64].map((channels) => 2 * (2 * channels + 9 * channels * channels));
  const second = 3 * own[0] + 2 * own[1] + 2 * own[2];
  assertEquals(count({ name: "polynet-mpoly2-20" }), plain + second);
  assertEquals(count({ name: "polynet-2way-20" }), plain + second);
  assertEquals(count({ name: "polynet-poly2-20" }), plain);
  assertEquals(count({ name: "lm-resnet-20", perChannelCoefficients: true }), plain + 2 * (16 + 32 + 64));
  assertEquals(count({ name: "resnet-20", scheme: "linear_multistep" }), count({ name: "lm-resnet-20" }));
});

const stage = { block: "basic", blocks: 3, channels: 16, groups: 1 } as const;
const bottleneck = { block: "bottleneck", blocks: 3, channels: 256, groups: 1 } as const;

Deno.test("describeModel() takes networks outside the zoo: described as the zoo's, they count alike", () => {
  const resnet20 = [stage, { ...stage, channels: 32 }, { ...stage, channels: 64 }];
  const name = "my-network";
  const small = { stem: "small", stemChannels: 16, stages: resnet20 } as const;
  assertEquals(count({ name, network: small }), 272_378);
  assertEquals(count({ name, scheme: "linear_multistep", network: small }), 272_384);
  const resnext50 = [3, 4, 6, 3].map((blocks, s) => {
    const channels = 256 * 2 ** s;
    return { ...bottleneck, blocks, channels, innerChannels: channels / 2, groups: 32 };
  });
  const network = { stem: "large", stemChannels: 64, stages: resnext50 } as const;
  assertEquals(count({ name, activation: "post", network }, 1000), 25_028_904);
});

Deno.test("describeModel() says what a described network has wrong", () => {
  const cases: readonly (readonly [Partial<NetworkSpec>, string])[] = [
    [{ stemChannels: 0 }, "stem_channels must be an integer from 1 to 8192, got 0"],
    [{ stages: [] }, "the number of stages must be an integer from 1 to 8, got 0"],
    [{ stages: [{ ...stage, blocks: 401 }] }, "the blocks of all stages must be an integer from 1 to 400, got 401"],
    [{ stages: [stage, { ...stage, channels: 0 }] }, "stages[1].channels must be an integer from 1 to 8192, got 0"],
    [{ stages: [{ ...stage, stride: 5 }] }, "stages[0].stride must be an integer from 1 to 4, got 5"],
    [{ stages: [{ ...stage, groups: 2 }] }, "stages[0] is of basic blocks, which have no inner channels or groups"],
    [
      { stages: [{ ...bottleneck, channels: 18 }] },
      "stages[0].inner_channels must be an integer from 1 to 8192, got 4.5",
    ],
    [{ stages: [{ ...bottleneck, groups: 5 }] }, "stages[0].groups must divide the 64 inner channels, got 5"],
  ];
  for (const [change, detail] of cases) {
    const network = { stem: "small", stemChannels: 16, stages: [stage], ...change } as const;
    const error = assertThrows(() => describeModel({ name: "mine", network }, input, 10), ModelError);
    assertEquals(error.message, `Cannot build the network: ${detail}`);
  }
  const network = { stem: "small", stemChannels: 16, stages: [stage] } as const;
  const error = assertThrows(() => describeModel({ name: "resnet-20", network }, input, 10), ModelError);
  assertEquals(
    error.message,
    'Cannot name a described network "resnet-20": the zoo\'s names begin with "resnet-"',
  );
});

Deno.test("buildNetwork() steps any network by any scheme", () => {
  for (const scheme of schemeNames) {
    for (const name of ["resnet-14", "resnet-20-bottleneck", "resnext-29-8x16d"]) {
      for (const activation of ["pre", "post"] as const) {
        if (scheme === "reversible" && activation === "post") continue;
        for (const shortcut of ["projection", "bare_projection", "zero_pad"] as const) {
          const graph = new Graph({ training: true });
          const images = graph.source("images", [1, 32, 32, 3]);
          const logits = buildNetwork(graph, { name, scheme, activation, shortcut }, images, { classes: 10 });
          assertEquals(logits.shape, [1, 10], `${name} by ${scheme}`);
        }
      }
    }
  }
});

Deno.test("describeModel() counts the multiply-adds of resnet-20 on 32x32 images", () => {
  const stem = 32 * 32 * 9 * 3 * 16;
  const stage1 = 6 * 32 * 32 * 9 * 16 * 16;
  const stage2 = 16 * 16 * (9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32);
  const stage3 = 8 * 8 * (9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64);
  const { multiplyAdds, layers } = describeModel({ name: "resnet-20" }, input, 10);
  assertEquals(multiplyAdds, stem + stage1 + stage2 + stage3 + 640);
  assertEquals(multiplyAdds, 40_813_184);
  assertEquals(layers.reduce((sum, layer) => sum + layer.multiplyAdds, 0), multiplyAdds);
  const { multiplyAdds: multistep } = describeModel({ name: "lm-resnet-20" }, input, 10);
  assertEquals(multistep, multiplyAdds);
});

Deno.test("describeModel() describes each layer, and its layers hold all parameters", () => {
  const description = describeModel({ name: "lm-resnet-20" }, input, 10);
  const { layers, parameters } = description;
  assertEquals(layers[0], {
    name: "stem.conv",
    kind: "conv2d 3x3 stride 1",
    outputShape: [32, 32, 16],
    parameters: 432,
    multiplyAdds: 442_368,
  });
  const step = layers.find(({ name }) => name === "stage1.block1.u");
  assertEquals(step, {
    name: "stage1.block1.u",
    kind: "linear multi-step",
    outputShape: [32, 32, 16],
    parameters: 1,
    multiplyAdds: 0,
  });
  assertEquals(layers.filter(({ kind }) => kind === "linear multi-step").length, 6);
  assertEquals(layers.find(({ name }) => name === "stage1.block0.u")?.kind, "add");
  assertEquals(layers.at(-1)?.outputShape, [10]);
  assertEquals(layers.reduce((sum, layer) => sum + layer.parameters, 0), parameters);
  assertEquals(description.scheme, "linear multi-step");
  assertEquals(describeModel({ name: "resnet-20" }, input, 10).scheme, "forward Euler");
});

const multistepNames: readonly (readonly [ModelSpec, readonly string[]])[] = [
  [{ name: "lm-resnet-14" }, ["stage1.block1", "stage2.block1", "stage3.block1"]],
  [{ name: "lm-resnet-14", transition: "project_both" }, [
    "stage1.block1",
    "stage2.block0",
    "stage2.block1",
    "stage3.block0",
    "stage3.block1",
  ]],
];

Deno.test("buildNetwork() gives a k to every block with a history", () => {
  for (const [spec, blocks] of multistepNames) {
    const graph = new Graph({ training: true });
    const images = graph.source("images", [1, 32, 32, 3]);
    const logits = buildNetwork(graph, spec, images, { classes: 10 });
    assertEquals(logits.shape, [1, 10]);
    const coefficients = graph.parameters.filter(({ role }) => role === "coefficient");
    assertEquals(coefficients.map(({ tensor }) => tensor.name), blocks.map((block) => `${block}.k`));
    for (const { initializer } of coefficients) {
      assertEquals(initializer, { kind: "uniform", low: -0.1, high: 0 });
    }
  }
});

Deno.test("buildNetwork() tells what each parameter is", () => {
  const roles: [string, ParameterRole][] = [
    [".k", "coefficient"],
    ["linear.bias", "bias"],
    [".bias", "batch_norm"],
    [".bn1.weight", "batch_norm"],
    [".bn2.weight", "batch_norm"],
    [".bn.weight", "batch_norm"],
    [".weight", "weight"],
  ];
  const graph = new Graph({ training: true });
  buildNetwork(graph, { name: "lm-resnet-14" }, graph.source("images", [1, 32, 32, 3]), { classes: 10 });
  for (const { tensor: { name }, role } of graph.parameters) {
    assertEquals([name, role], [name, roles.find(([end]) => name.endsWith(end))?.[1]]);
  }
  assertEquals(new Set(graph.parameters.map(({ role }) => role)).size, 4);
});

const depthError = (name: string) =>
  `Cannot find model "${name}": N must be 6n + 2 (basic blocks) or 9n + 2 (bottlenecks), from 8 to 1202, or 50, 101, ` +
  `152, for example ${name.slice(0, name.lastIndexOf("net-"))}net-20`;
const patterns = modelFamilies().map(({ pattern }) => pattern).join(", ");
const widthError = (name: string) =>
  `Cannot find model "${name}": it ends in CxWd, C groups of width W with C x W at most 2048, for example 8x64d`;

const badSpecs: readonly (readonly [ModelSpec, string])[] = [
  ...["resnet-20-bottleneck-basic", "resnet-164-wide", "revnet-21", "resnet-32-bottleneck", "resnet-29-basic"]
    .map((name) => [{ name }, depthError(name)] as const),
  ...["resnet-21", "lm-resnet-21", "resnet-2", "resnet-0", "resnet-1208", "resnet-020", "resnet-20x", "resnet-1e3"]
    .map((name) => [{ name }, depthError(name)] as const),
  ...["resnext-29-8x64", "resnext-29-0x64d", "lm-resnext-29-64x64d", "resnext-29-8x-64d"]
    .map((name) => [{ name }, widthError(name)] as const),
  ...[
    "",
    "vgg-16",
    "resnet",
    "resnext-30-8x64d",
    "resnext-50",
    "polynet-poly4-20",
    "lm-lm-resnet-20",
    " resnet-20",
    "LM-ResNet-20",
  ]
    .map((name) => [{ name }, `Cannot find model "${name}": there are ${patterns}`] as const),
  [
    { name: "resnet-20", transition: "plain" },
    'Cannot use transition "plain" with "resnet-20": it has no multi-step history',
  ],
  [
    { name: "lm-resnet-20", scheme: "rk4" },
    'Cannot use scheme "rk4" with "lm-resnet-20": the name says linear_multistep; choose a resnet or resnext',
  ],
  [
    { name: "resnet-20", perChannelCoefficients: true },
    'Cannot use per-channel coefficients with "resnet-20": it has no multi-step coefficients',
  ],
  [{ name: "resnet-20", columns: 3 }, 'Cannot use 3 columns with "resnet-20": it is no fractal'],
  [
    { name: "fractalnet-20", columns: 5 },
    'Cannot build "fractalnet-20" with 5 columns: it must be an integer from 1 to 4',
  ],
  [
    { name: "revnet-20", activation: "post" },
    'Cannot build "revnet-20" with activation "post": the ReLU after a step is not reversible; choose "pre"',
  ],
  [
    { name: "resnext-29-64x1d", scheme: "reversible", activation: "pre" },
    'Cannot build "stage1.block1" with 128 channels: its 64 groups must divide the 32 channels of the 3x3 convolution',
  ],
];

Deno.test("describeModel() says of an unknown network what exists", () => {
  for (const [spec, message] of badSpecs) {
    const error = assertThrows(() => describeModel(spec, input, 10), ModelError);
    assertEquals(error.message, message);
  }
});

Deno.test("describeModel() refuses sizes out of range", () => {
  const cases = [
    [{ ...input, height: 0 }, 10, "height 0: it must be an integer from 1 to 4096"],
    [{ ...input, width: 4097 }, 10, "width 4097: it must be an integer from 1 to 4096"],
    [{ ...input, channels: 1.5 }, 10, "channels 1.5: it must be an integer from 1 to 4096"],
    [input, 0, "classes 0: it must be an integer from 1 to 100000"],
  ] as const;
  for (const [size, classes, detail] of cases) {
    const error = assertThrows(() => describeModel({ name: "resnet-20" }, size, classes), ModelError);
    assertEquals(error.message, `Cannot build a network with ${detail}`);
  }
});

Deno.test("modelFamilies() gives examples that exist", () => {
  for (const { examples, scheme } of modelFamilies()) {
    assert(examples.length > 0);
    for (const name of examples) assertEquals(describeModel({ name }, input, 10).scheme, scheme);
  }
});
