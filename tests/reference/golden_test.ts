/** The references against PyTorch: both are in double precision, so they agree to rounding. */
import { assert, assertEquals } from "@std/assert";
import { assertClose, type GoldenTensor, loadGolden, networkNames, schemeNames } from "../support/golden.ts";
import * as batchNorm from "./batch_norm.ts";
import * as conv2d from "./conv2d.ts";
import { decodeImages } from "./decode_images.ts";
import { globalAveragePool, globalAveragePoolBackward } from "./global_average_pool.ts";
import { linear, linearBackward } from "./linear.ts";
import { linearMultistep, linearMultistepBackward, residualAdd } from "./linear_combination.ts";
import { maxPool2d, maxPool2dBackward } from "./max_pool2d.ts";
import { placeChannels, placeChannelsBackward } from "./place_channels.ts";
import { pcg4d } from "./random.ts";
import { relu, reluBackward } from "./relu.ts";
import { type SgdState, sgdStep } from "./sgd.ts";
import { softmaxCrossEntropy } from "./softmax_cross_entropy.ts";

const golden = await loadGolden("operations");

function assertMatches(actual: ArrayLike<number>, expected: GoldenTensor | Float64Array, what: string): void {
  const data = expected instanceof Float64Array ? expected : expected.data;
  assertClose(actual, data, { tolerance: 1e-12, what });
}

for (const name of golden.cases("conv2d")) {
  Deno.test(`reference conv2d() agrees with PyTorch: ${name}`, () => {
    const [input, weight, output] = [
      golden.nhwc(`${name}.input`),
      golden.tensor(`${name}.weight`),
      golden.nhwc(`${name}.output`),
    ];
    const dOutput = golden.nhwc(`${name}.dOutput`).data;
    const { stride, padding, groups } = golden.options(name);
    const shape: conv2d.Conv2dShape = {
      batch: input.shape[0],
      inputHeight: input.shape[1],
      inputWidth: input.shape[2],
      inputChannels: input.shape[3],
      outputHeight: output.shape[1],
      outputWidth: output.shape[2],
      outputChannels: output.shape[3],
      kernelHeight: weight.shape[2],
      kernelWidth: weight.shape[3],
      stride,
      padding,
      groups,
    };
    assertMatches(conv2d.conv2d(shape, input.data, weight.data), output, "output");
    assertMatches(conv2d.conv2dBackwardInput(shape, dOutput, weight.data), golden.nhwc(`${name}.dInput`), "dInput");
    assertMatches(conv2d.conv2dBackwardWeight(shape, input.data, dOutput), golden.tensor(`${name}.dWeight`), "dWeight");
  });
}

function batchNormParameters(name: string): batchNorm.BatchNormParameters {
  const { epsilon, relu } = golden.options(name);
  return { gamma: golden.data(`${name}.gamma`), beta: golden.data(`${name}.beta`), epsilon, relu: Boolean(relu) };
}

for (const name of ["batch_norm", "batch_norm_relu"]) {
  Deno.test(`reference batchNormTraining() agrees with PyTorch: ${name}`, () => {
    const parameters = batchNormParameters(name);
    const input = golden.nhwc(`${name}.input`).data;
    assertMatches(batchNorm.batchNormTraining(input, parameters), golden.nhwc(`${name}.output`), "output");
    const dOutput = golden.nhwc(`${name}.dOutput`).data;
    const gradients = batchNorm.batchNormTrainingBackward(input, parameters, dOutput);
    assertMatches(gradients.dInput, golden.nhwc(`${name}.dInput`), "dInput");
    assertMatches(gradients.dGamma, golden.data(`${name}.dGamma`), "dGamma");
    assertMatches(gradients.dBeta, golden.data(`${name}.dBeta`), "dBeta");
    const running = { mean: golden.data(`${name}.runningMean`), variance: golden.data(`${name}.runningVariance`) };
    const updated = batchNorm.updateRunningStatistics(input, running, golden.options(name).momentum);
    assertMatches(updated.mean, golden.data(`${name}.runningMeanAfter`), "running mean");
    assertMatches(updated.variance, golden.data(`${name}.runningVarianceAfter`), "running variance");
  });
}

for (const name of ["batch_norm_inference", "batch_norm_relu_inference"]) {
  Deno.test(`reference batchNormInference() agrees with PyTorch: ${name}`, () => {
    const running = { mean: golden.data(`${name}.runningMean`), variance: golden.data(`${name}.runningVariance`) };
    const input = golden.nhwc(`${name}.input`).data;
    const output = batchNorm.batchNormInference(input, running, batchNormParameters(name));
    assertMatches(output, golden.nhwc(`${name}.output`), "output");
  });
}

Deno.test("reference relu() agrees with PyTorch", () => {
  const input = golden.data("relu.input");
  assertMatches(relu(input), golden.data("relu.output"), "output");
  assertMatches(reluBackward(input, golden.data("relu.dOutput")), golden.data("relu.dInput"), "dInput");
});

Deno.test("reference linearMultistep() agrees with PyTorch", () => {
  const data = (name: string) => golden.data(`linear_multistep.${name}`);
  const [k] = data("k");
  const terms = { current: data("current"), previous: data("previous"), increment: data("increment"), k };
  assertMatches(linearMultistep(terms), data("output"), "output");
  const gradients = linearMultistepBackward(terms, data("dOutput"));
  assertMatches(gradients.dCurrent, data("dCurrent"), "dCurrent");
  assertMatches(gradients.dPrevious, data("dPrevious"), "dPrevious");
  assertMatches(gradients.dIncrement, data("dIncrement"), "dIncrement");
  assertMatches([gradients.dK], data("dK"), "dK");
});

Deno.test("reference linearMultistep() with k = 0 is residualAdd(), which agrees with PyTorch", () => {
  const [current, increment] = [golden.data("residual_add.current"), golden.data("residual_add.increment")];
  const sum = residualAdd(current, increment);
  assertMatches(sum, golden.data("residual_add.output"), "output");
  assertEquals(linearMultistep({ current, previous: increment, increment, k: 0 }), sum);
});

Deno.test("reference globalAveragePool() agrees with PyTorch", () => {
  const { shape: [batch, height, width, channels], data } = golden.nhwc("global_average_pool.input");
  const shape = { batch, height, width, channels };
  assertMatches(globalAveragePool(shape, data), golden.data("global_average_pool.output"), "output");
  const dInput = globalAveragePoolBackward(shape, golden.data("global_average_pool.dOutput"));
  assertMatches(dInput, golden.nhwc("global_average_pool.dInput"), "dInput");
});

for (const name of golden.cases("max_pool2d")) {
  Deno.test(`reference maxPool2d() agrees with PyTorch: ${name}`, () => {
    const { shape: [batch, height, width, channels], data } = golden.nhwc(`${name}.input`);
    const { kernel, stride, padding } = golden.options(name);
    const shape = { batch, height, width, channels, kernel, stride, padding };
    assertMatches(maxPool2d(shape, data), golden.nhwc(`${name}.output`), "output");
    const dInput = maxPool2dBackward(shape, data, golden.nhwc(`${name}.dOutput`).data);
    assertMatches(dInput, golden.nhwc(`${name}.dInput`), "dInput");
  });
}

for (const name of golden.cases("place_channels")) {
  Deno.test(`reference placeChannels() agrees with PyTorch: ${name}`, () => {
    const { shape: [batch, height, width, inputChannels], data } = golden.nhwc(`${name}.input`);
    const { channels, offset, stride } = golden.options(name);
    const placement = { batch, height, width, inputChannels, channels, offset, stride };
    assertMatches(placeChannels(placement, data), golden.nhwc(`${name}.output`), "output");
    const dInput = placeChannelsBackward(placement, golden.nhwc(`${name}.dOutput`).data);
    assertMatches(dInput, golden.nhwc(`${name}.dInput`), "dInput");
  });
}

Deno.test("reference linear() agrees with PyTorch", () => {
  const [input, weight] = [golden.tensor("linear.input"), golden.tensor("linear.weight")];
  const shape = { batch: input.shape[0], inputs: input.shape[1], outputs: weight.shape[0] };
  const operands = { input: input.data, weight: weight.data, bias: golden.data("linear.bias") };
  assertMatches(linear(shape, operands), golden.data("linear.output"), "output");
  const gradients = linearBackward(shape, operands, golden.data("linear.dOutput"));
  assertMatches(gradients.dInput, golden.data("linear.dInput"), "dInput");
  assertMatches(gradients.dWeight, golden.data("linear.dWeight"), "dWeight");
  assertMatches(gradients.dBias, golden.data("linear.dBias"), "dBias");
});

for (const name of golden.cases("softmax_cross_entropy")) {
  Deno.test(`reference softmaxCrossEntropy() agrees with PyTorch: ${name}`, () => {
    const { shape: [, classes], data: logits } = golden.tensor(`${name}.logits`);
    const { labelSmoothing } = golden.options(name);
    const labels = golden.data(`${name}.labels`);
    const { loss, losses, dLogits } = softmaxCrossEntropy(logits, labels, { classes, labelSmoothing });
    assertMatches([loss], golden.data(`${name}.loss`), "loss");
    assertMatches(dLogits, golden.data(`${name}.dLogits`), "dLogits");
    labels.forEach((label, n) => assertEquals(losses[n] > 0, label >= 0));
  });
}

Deno.test("reference sgdStep() agrees with PyTorch over three steps", () => {
  const { learningRate, momentum, weightDecay } = golden.options("sgd");
  const parameter = golden.data("sgd.parameter");
  const { length } = parameter;
  let state: SgdState = { parameter, velocity: new Float64Array(length) };
  for (let step = 0; step < 3; step++) {
    const row = (name: string) => golden.data(`sgd.${name}`).subarray(step * length, (step + 1) * length);
    state = sgdStep(state, row("gradients"), { learningRate, momentum, weightDecay });
    assertMatches(state.parameter, row("parameters"), `parameter after step ${step}`);
    assertMatches(state.velocity, row("velocities"), `velocity after step ${step}`);
  }
});

Deno.test("reference pcg4d() gives the values of exact integer arithmetic", () => {
  const [keys, values] = [golden.data("pcg4d.keys"), golden.data("pcg4d.values")];
  for (let i = 0; i < keys.length; i += 4) {
    const words = pcg4d([keys[i], keys[i + 1], keys[i + 2], keys[i + 3]]);
    assertEquals([...words], [...values.subarray(i, i + 4)]);
  }
});

for (const name of golden.cases("decode_images")) {
  Deno.test(`reference decodeImages() agrees with PyTorch: ${name}`, () => {
    const { shape: [, height, width], data: pixels } = golden.tensor(`${name}.pixels`);
    const { seed, epoch, purpose, cropPadding, horizontalFlip } = golden.options(name);
    const output = decodeImages(pixels, golden.data(`${name}.examples`), {
      height,
      width,
      mean: golden.data(`${name}.mean`),
      standardDeviation: golden.data(`${name}.standardDeviation`),
      cropPadding,
      horizontalFlip: Boolean(horizontalFlip),
      seed,
      epoch,
      purpose,
    });
    assertMatches(output, golden.data(`${name}.output`), "output");
  });
}

Deno.test("loadGolden() finds in every network's fixture a gradient for each of its parameters", async () => {
  for (const name of [...networkNames, ...schemeNames]) {
    const network = await loadGolden(name);
    const gradients = network.under("gradient.");
    const parameters = [...network.under("initial.")].filter(([key]) => !key.includes(".running_"));
    assertEquals([...gradients.keys()].sort(), parameters.map(([key]) => key).sort());
    const count = parameters.reduce((sum, [, { data }]) => sum + data.length, 0);
    assertEquals(count, network.about.parameters);
    for (const [key, { data }] of gradients) assert(data.some((value) => value !== 0), `${name}: ${key}`);
  }
});
