/** Convolutions wide enough for the forms that share work between the lanes of a subgroup. */
import {
  batchNorm,
  conv2d,
  differentiate,
  Graph,
  linearCombination,
  ONE,
  type Precision,
  type Tensor,
} from "../../src/gpu/mod.ts";
import { conv2d as reference } from "../reference/conv2d.ts";
import { checkConv2d, type Conv2dCase, randomValues } from "../support/conv2d_check.ts";
import { assertClose } from "../support/golden.ts";
import { runGraph, testDevice, testPrecisions } from "../support/graph_runner.ts";

const precisions = await testPrecisions();

const CASES: Readonly<Record<string, Conv2dCase>> = {
  "one channel a lane, odd sizes": { input: [3, 9, 13, 16], outputChannels: 16, kernel: [3, 3], padding: 1 },
  "two channels a lane": { input: [2, 8, 8, 32], outputChannels: 32, kernel: [3, 3], padding: 1 },
  "four channels a lane": { input: [2, 5, 7, 16], outputChannels: 128, kernel: [1, 1] },
  "an input of three channels": { input: [2, 7, 7, 3], outputChannels: 16, kernel: [3, 3], padding: 1 },
  "five quads and 25 taps": { input: [1, 7, 11, 20], outputChannels: 32, kernel: [5, 5], padding: 2 },
  "a stride of 2": { input: [2, 9, 9, 32], outputChannels: 64, kernel: [3, 3], stride: 2, padding: 1 },
  "a stride that divides the image": {
    input: [2, 8, 12, 32],
    outputChannels: 64,
    kernel: [3, 3],
    stride: 2,
    padding: 1,
  },
  "a stride of 3 and even taps": { input: [1, 9, 12, 16], outputChannels: 16, kernel: [4, 3], stride: 3, padding: 1 },
  "a stride past the kernel": { input: [1, 10, 10, 16], outputChannels: 16, kernel: [2, 3], stride: 3 },
  "a column of taps": { input: [1, 29, 5, 16], outputChannels: 48, kernel: [7, 1] },
  "groups": { input: [2, 8, 8, 64], outputChannels: 64, kernel: [3, 3], padding: 1, groups: 2 },
  "groups of one quad": { input: [2, 9, 9, 64], outputChannels: 64, kernel: [3, 3], padding: 1, groups: 16 },
  "strided groups of one quad": {
    input: [2, 11, 19, 32],
    outputChannels: 32,
    kernel: [3, 3],
    stride: 2,
    padding: 1,
    groups: 8,
  },
  "groups of one quad and even taps": { input: [1, 8, 21, 64], outputChannels: 64, kernel: [1, 2], groups: 16 },
  "weights past a uniform binding": { input: [1, 4, 4, 256], outputChannels: 32, kernel: [3, 3], padding: 1 },
};

for (const [name, options] of Object.entries(CASES)) {
  for (const precision of precisions) {
    Deno.test(`conv2d() and its gradients match the reference with ${name}, ${precision}`, async () => {
      await checkConv2d(options, { precision, form: "lanes" });
    });
  }
}

for (const channels of [16, 32, 64]) {
  const name =
    `conv2d() of ${channels} channels with batch norm and addition in its kernel gives what it does without subgroups`;
  Deno.test(name, async () => {
    const device = await testDevice();
    const { subgroupSize } = device.target;
    const plain = await normalised(channels, { subgroupSize: 0 });
    const fused = await normalised(channels, { subgroupSize });
    assertClose(fused, plain, { tolerance: 1e-5, what: "output" });
    for (const size of precisions.includes("mixed") ? [subgroupSize, 0] : []) {
      const mixed = await normalised(channels, { subgroupSize: size, precision: "mixed" });
      assertClose(mixed, plain, { tolerance: 1e-3, what: `output in f16, subgroups of ${size}` });
    }
  });
}

/** x + conv(relu(norm(conv(relu(norm(x)))))), which an inference plan computes in the convolutions' kernels. */
async function normalised(
  channels: number,
  { subgroupSize, precision }: { subgroupSize: number; precision?: Precision },
): Promise<Float32Array> {
  const graph = new Graph({ training: false, precision });
  const x = graph.source("x", [2, 9, 8, channels]);
  const options = { outputChannels: channels, kernel: [3, 3] as const, padding: 1 };
  const before = batchNorm(graph, x, { name: "before", relu: true });
  const y = batchNorm(graph, conv2d(graph, before, { name: "first", ...options }), { name: "norm", relu: true });
  const f = conv2d(graph, y, { name: "second", ...options });
  const u = linearCombination(graph, "sum", [{ tensor: x, coefficient: ONE }, { tensor: f, coefficient: ONE }]);
  const result = await runGraph(graph, {
    sources: new Map([[x, randomValues(x.shape)]]),
    parameters: new Map([
      ["first.weight", randomValues([channels, channels, 3, 3])],
      ["second.weight", randomValues([channels, channels, 3, 3])],
      ...["before", "norm"].flatMap((name): [string, Float32Array][] => [
        [`${name}.weight`, randomValues([channels])],
        // Where it is positive, the border of zeros would not stay one.
        [`${name}.bias`, randomValues([channels])],
      ]),
    ]),
    states: new Map([
      ...["before", "norm"].flatMap((name): [string, Float32Array][] => [
        [`${name}.running_mean`, randomValues([channels])],
        [`${name}.running_var`, randomValues([channels]).map((value) => value + 1)],
      ]),
    ]),
    keep: [u],
    subgroupSize,
  });
  return result.values.get(u)!;
}

Deno.test({
  name: "conv2d() of f16 images rounds a sum over many channels once, where strips take their weights in parts",
  ignore: !precisions.includes("mixed"),
  async fn() {
    const shape = { batch: 1, inputHeight: 4, inputWidth: 4, outputHeight: 4, outputWidth: 4, stride: 1, padding: 1 };
    const sizes = { ...shape, inputChannels: 1024, outputChannels: 4, kernelHeight: 3, kernelWidth: 3, groups: 1 };
    const graph = new Graph({ training: false, precision: "mixed" });
    const x = graph.source("x", [1, 4, 4, 1024]);
    const y = conv2d(graph, x, { name: "conv", outputChannels: 4, kernel: 3, padding: 1 });
    const u = linearCombination(graph, "sum", [
      { tensor: graph.source("other", y.shape), coefficient: { constant: 0, slope: 0 } },
      { tensor: y, coefficient: ONE },
    ]);
    const values = randomValues(x.shape).map(Math.f16round);
    const weight = randomValues([4, 1024, 3, 3]);
    const run = async (keep: Tensor) => {
      const sources = new Map([[x, values], [graph.operations[1].inputs[0], randomValues(y.shape)]]);
      const options = { parameters: new Map([["conv.weight", weight]]), subgroupSize: 0, software: true };
      return (await runGraph(graph, { ...options, sources, keep: [keep] })).values.get(keep)!;
    };
    const expected = reference(sizes, values, weight);
    // One rounding to 11 bits; four would have twice this error.
    for (const tensor of [y, u]) assertClose(await run(tensor), expected, { tolerance: 2.5e-4, what: tensor.name });
  },
});

for (const stride of [1, 2]) {
  const name = `conv2d() at stride ${stride} that reads through batch norm in training gives what it does apart`;
  Deno.test(name, async () => {
    const device = await testDevice();
    const apart = await normalisedStep(stride, { subgroupSize: 0 });
    const together = await normalisedStep(stride, { subgroupSize: device.target.subgroupSize });
    assertClose(together.y, apart.y, { tolerance: 1e-5, what: "output" });
    for (const [parameter, gradient] of apart.gradients) {
      assertClose(together.gradients.get(parameter)!, gradient, { tolerance: 1e-4, what: `gradient of ${parameter}` });
    }
  });
}

/** conv(relu(norm(x))) with the batch's statistics, and all gradients. */
async function normalisedStep(stride: number, { subgroupSize }: { subgroupSize: number }) {
  const graph = new Graph({ training: true });
  const x = graph.source("x", [3, 9, 8, 32], { needsGradient: true });
  const normalised = batchNorm(graph, x, { name: "norm", relu: true });
  const y = conv2d(graph, normalised, { name: "conv", outputChannels: 48, kernel: 3, padding: 1, stride });
  const dOutput = graph.source("dy", y.shape);
  const dInput = differentiate(graph, new Map([[y, dOutput]]), linearCombination).get(x)!;
  const result = await runGraph(graph, {
    sources: new Map([[x, randomValues(x.shape)], [dOutput, randomValues(y.shape)]]),
    parameters: new Map([
      ["norm.weight", randomValues([32])],
      // Where it is positive, the border of zeros would not stay one.
      ["norm.bias", randomValues([32])],
      ["conv.weight", randomValues([48, 32, 3, 3])],
    ]),
    states: new Map([["norm.running_mean", randomValues([32])], ["norm.running_var", randomValues([32])]]),
    keep: [y, dInput],
    subgroupSize,
  });
  return {
    y: result.values.get(y)!,
    gradients: new Map([...result.gradients, ["x", result.values.get(dInput)!] as const]),
  };
}
