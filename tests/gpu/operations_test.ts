import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  batchNorm,
  conv2d,
  decayScales,
  decodeImages,
  differentiate,
  encodeStep,
  globalAveragePool,
  Graph,
  IGNORED_LABEL,
  linear,
  linearCombination,
  lmStep,
  maxPool2d,
  ONE,
  type ParameterRole,
  placeChannels,
  type Precision,
  relu,
  residualAdd,
  sgd,
  type Shape,
  ShapeError,
  softmaxCrossEntropy,
  STEP_BYTES,
  type Tensor,
} from "../../src/gpu/mod.ts";
import { type SgdState, sgdStep } from "../reference/sgd.ts";
import { softmaxCrossEntropy as referenceCrossEntropy } from "../reference/softmax_cross_entropy.ts";
import { assertClose, type GoldenTensor, loadGolden } from "../support/golden.ts";
import { GraphSession, runGraph, testPrecisions } from "../support/graph_runner.ts";

const golden = await loadGolden("operations");

/** The largest relative error of a result against double precision; a dk, whose terms cancel, has mixed's largest. */
const TOLERANCE: Readonly<Record<Precision, number>> = { f32: 1e-5, mixed: 5e-3 };

const precisions = await testPrecisions();

function assertMatches(
  actual: ArrayLike<number> | undefined,
  expected: ArrayLike<number>,
  what: string,
  precision: Precision = "f32",
): void {
  assert(actual, `There is no ${what}`);
  assertClose(actual, expected, { tolerance: TOLERANCE[precision], what });
}

/** As Golden has it, images in NHWC. */
function logical(name: string): GoldenTensor {
  return golden.tensor(name).shape.length === 4 ? golden.nhwc(name) : golden.tensor(name);
}

/** Registers a test for both kinds of plan: for software Vulkan and for a GPU. */
function testBoth(name: string, check: (software: boolean, t: Deno.TestContext) => Promise<void>): void {
  for (const software of [true, false]) {
    Deno.test(`${name}, planned for ${software ? "software" : "a GPU"}`, (t) => check(software, t));
  }
}

interface DifferentiatedCase {
  readonly name: string;
  /** The fixture's names of the tensors that are given, each with its gradient `d<Name>`. */
  readonly sources: readonly string[];
  /** The fixture's names of parameters, by the names they are recorded by. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** The fixture's names of states before the step, likewise; after it they are `<name>After`. */
  readonly states?: Readonly<Record<string, string>>;
  record(graph: Graph, sources: readonly Tensor[]): Tensor;
}

/** Registers a test of a case for both kinds of plan and both precisions. */
function testDifferentiated(name: string, test: DifferentiatedCase): void {
  for (const precision of precisions) {
    testBoth(`${name}, ${precision}`, (software) => checkDifferentiated(test, { software, precision }));
  }
}

async function checkDifferentiated(
  test: DifferentiatedCase,
  { software, precision }: { software: boolean; precision: Precision },
): Promise<void> {
  const { name, parameters = {}, states = {} } = test;
  const graph = new Graph({ training: true, precision });
  const given = test.sources.map((source) => logical(`${name}.${source}`));
  const sources = given.map(({ shape }, i) => graph.source(test.sources[i], shape, { needsGradient: true }));
  const output = test.record(graph, sources);
  const cotangent = graph.source("dOutput", output.shape);
  const { data: dOutput } = logical(`${name}.dOutput`);
  const gradients = differentiate(graph, new Map([[output, cotangent]]), linearCombination);
  const dSources = sources.map((source) => gradients.get(source)!);
  const named = (names: Readonly<Record<string, string>>) =>
    new Map(Object.entries(names).map(([key, tensor]) => [key, golden.data(`${name}.${tensor}`)]));
  const result = await runGraph(graph, {
    sources: new Map([
      [cotangent, dOutput],
      ...sources.map((source, i) => [source, given[i].data] as const),
    ]),
    parameters: named(parameters),
    states: named(states),
    keep: [output, ...dSources.filter((tensor) => tensor !== cotangent)],
    software,
  });
  // A sum hands its own gradient on as it is.
  const valueOf = (tensor: Tensor) => tensor === cotangent ? dOutput : result.values.get(tensor);
  assertMatches(result.values.get(output), logical(`${name}.output`).data, "output", precision);
  test.sources.forEach((source, i) => {
    assertMatches(valueOf(dSources[i]), logical(`${name}.${gradientName(source)}`).data, `d(${source})`, precision);
  });
  for (const [key, tensor] of Object.entries(parameters)) {
    assertMatches(result.gradients.get(key), golden.data(`${name}.${gradientName(tensor)}`), `d(${tensor})`, precision);
  }
  for (const [key, tensor] of Object.entries(states)) {
    assertMatches(result.states.get(key), golden.data(`${name}.${tensor}After`), `${tensor} after the step`, precision);
  }
}

function gradientName(name: string): string {
  return `d${name[0].toUpperCase()}${name.slice(1)}`;
}

const batchNormStates = { "bn.running_mean": "runningMean", "bn.running_var": "runningVariance" };
const batchNormParameters = { "bn.weight": "gamma", "bn.bias": "beta" };

for (const name of ["batch_norm", "batch_norm_relu"]) {
  const withRelu = name.endsWith("relu");
  testDifferentiated(`batchNorm() trains and updates its statistics as PyTorch does: ${name}`, {
    name,
    sources: ["input"],
    parameters: batchNormParameters,
    states: batchNormStates,
    record: (graph, [x]) => batchNorm(graph, x, { name: "bn", relu: withRelu }),
  });

  testBoth(`batchNorm() infers as PyTorch does: ${name}`, async (software) => {
    const data = (tensor: string) => golden.data(`${name}_inference.${tensor}`);
    const input = golden.nhwc(`${name}_inference.input`);
    const graph = new Graph({ training: false });
    const x = graph.source("x", input.shape);
    const y = batchNorm(graph, x, { name: "bn", relu: withRelu });
    const states = new Map([["bn.running_mean", data("runningMean")], ["bn.running_var", data("runningVariance")]]);
    const result = await runGraph(graph, {
      sources: new Map([[x, input.data]]),
      parameters: new Map([["bn.weight", data("gamma")], ["bn.bias", data("beta")]]),
      states,
      keep: [y],
      software,
    });
    assertMatches(result.values.get(y), golden.nhwc(`${name}_inference.output`).data, "output");
    for (const [state, before] of states) assertEquals(result.states.get(state), Float32Array.from(before));
  });
}

testBoth("batchNorm() keeps running statistics where the batch's are not finite", async (software) => {
  const graph = new Graph({ training: true });
  const x = graph.source("x", [1, 2, 2, 3]);
  batchNorm(graph, x, { name: "bn" });
  const { states } = await runGraph(graph, {
    // Pixel by pixel; the channels hold NaN, an infinity, and 1 to 4.
    sources: new Map([[x, [NaN, 0, 1, 0, 0, 2, 0, Infinity, 3, 0, 0, 4]]]),
    parameters: new Map([["bn.weight", [1, 1, 1]], ["bn.bias", [0, 0, 0]]]),
    states: new Map([["bn.running_mean", [5, 6, 7]], ["bn.running_var", [8, 9, 10]]]),
    keep: [],
    software,
  });
  assertMatches(states.get("bn.running_mean"), [5, 6, 0.9 * 7 + 0.1 * 2.5], "running mean");
  assertMatches(states.get("bn.running_var"), [8, 9, 0.9 * 10 + 0.1 * 5 / 3], "running variance");
});

testDifferentiated("relu() and its gradient match PyTorch", {
  name: "relu",
  sources: ["input"],
  record: (graph, [x]) => relu(graph, "relu", x),
});

testDifferentiated("lmStep() and its gradients match PyTorch", {
  name: "linear_multistep",
  sources: ["current", "previous", "increment"],
  parameters: { k: "k" },
  record: (graph, [u, previous, f]) => lmStep(graph, "u", { u, previous, f, k: coefficient(graph, "k") }),
});

for (const name of golden.cases("channel_multistep")) {
  testDifferentiated(`lmStep() and its gradients match PyTorch with one k a channel: ${name}`, {
    name,
    sources: ["current", "previous", "increment"],
    parameters: { k: "k" },
    record(graph, [u, previous, f]) {
      const k = graph.parameter("k", [u.shape[3]], { initializer: { kind: "constant", value: 0 } });
      return lmStep(graph, "u", { u, previous, f, k });
    },
  });
}

for (const name of golden.cases("max_pool2d")) {
  const { kernel, stride, padding } = golden.options(name);
  testDifferentiated(`maxPool2d() and its gradient match PyTorch: ${name}`, {
    name,
    sources: ["input"],
    record: (graph, [x]) => maxPool2d(graph, x, { name: "pool", kernel, stride, padding }),
  });
}

for (const name of golden.cases("place_channels")) {
  const { channels, offset, stride } = golden.options(name);
  testDifferentiated(`placeChannels() and its gradient match PyTorch: ${name}`, {
    name,
    sources: ["input"],
    record: (graph, [x]) => placeChannels(graph, x, { name: "placed", channels, offset, stride }),
  });
}

testDifferentiated("residualAdd() and its gradients match PyTorch", {
  name: "residual_add",
  sources: ["current", "increment"],
  record: (graph, [u, f]) => residualAdd(graph, "u", u, f),
});

testDifferentiated("globalAveragePool() and its gradient match PyTorch", {
  name: "global_average_pool",
  sources: ["input"],
  record: (graph, [x]) => globalAveragePool(graph, "pool", x),
});

testDifferentiated("linear() and its gradients match PyTorch", {
  name: "linear",
  sources: ["input"],
  parameters: { "linear.weight": "weight", "linear.bias": "bias" },
  record: (graph, [x]) => linear(graph, x, { name: "linear", outputs: 10 }),
});

function coefficient(graph: Graph, name: string, role?: ParameterRole): Tensor {
  return graph.parameter(name, [1], { initializer: { kind: "constant", value: 0 }, role });
}

testBoth("softmaxCrossEntropy() and its gradient match PyTorch", async (software, t) => {
  for (const name of golden.cases("softmax_cross_entropy")) {
    await t.step(name, () => checkCrossEntropy(name, software));
  }
});

/** Rows with an ignored label count neither in the loss nor in what it is divided by. */
async function checkCrossEntropy(name: string, software: boolean): Promise<void> {
  const { shape, data: values } = golden.tensor(`${name}.logits`);
  const { labelSmoothing } = golden.options(name);
  const labels = Uint32Array.from(golden.data(`${name}.labels`), (label) => label < 0 ? IGNORED_LABEL : label);
  const counted = [...labels].filter((label) => label !== IGNORED_LABEL).length;
  assertEquals(counted < labels.length, name.endsWith("ignored"));

  const graph = new Graph({ training: true });
  const logits = graph.source("logits", shape, { needsGradient: true });
  const handle = graph.input("labels", labels.byteLength);
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels: handle, labelSmoothing });
  const result = await runGraph(graph, {
    sources: new Map([[logits, values]]),
    inputs: new Map([["labels", labels]]),
    keep: [dLogits, results],
    software,
  });
  const rows = [...labels.keys()].map((n) => result.values.get(results)!.subarray(n * 4, n * 4 + 4));
  const loss = rows.reduce((sum, [rowLoss]) => sum + rowLoss, 0) / counted;
  assertMatches([loss], golden.data(`${name}.loss`), "loss");
  const dLoss = golden.data(`${name}.dLogits`);
  assertMatches(result.values.get(dLogits), dLoss, "dLogits");

  const classes = shape[1];
  const reference = referenceCrossEntropy(values, golden.data(`${name}.labels`), { classes, labelSmoothing });
  assertMatches(rows.map(([rowLoss]) => rowLoss), reference.losses, "losses of the rows");
  rows.forEach(([, rank, predicted], n) => {
    const row = values.subarray(n * classes, (n + 1) * classes);
    assertEquals(predicted, row.indexOf(Math.max(...row)), `predicted class of row ${n}`);
    const expected = labels[n] === IGNORED_LABEL ? -1 : row.filter((logit) => logit > row[labels[n]]).length;
    assertEquals(rank, expected, `rank of row ${n}`);
  });
}

testBoth("sgd() takes three steps as PyTorch does", async (software) => {
  const { learningRate, momentum, weightDecay } = golden.options("sgd");
  const start = golden.data("sgd.parameter");
  const { length } = start;
  // With an input of 1, the gradients of weight and bias both are dy.
  const graph = new Graph({ training: true });
  const step = graph.input("step", STEP_BYTES);
  const x = graph.source("x", [1, 1]);
  const y = linear(graph, x, { name: "linear", outputs: length });
  const cotangent = graph.source("dy", y.shape);
  differentiate(graph, new Map([[y, cotangent]]), linearCombination);
  sgd(graph, { momentum, weightDecay, step });
  const session = await GraphSession.open(graph, { keep: [], software });
  try {
    session.uploadParameters(new Map([["linear.weight", start], ["linear.bias", start]]));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate, seed: 0, epoch: 0 }));
    session.writeSource(x, [1]);
    for (let index = 0; index < 3; index++) {
      const row = (name: string) => golden.data(`sgd.${name}`).subarray(index * length, (index + 1) * length);
      session.writeSource(cotangent, row("gradients"));
      session.step();
      const parameters = await session.variables.downloadParameters();
      const velocities = await session.variables.downloadVelocities();
      for (const name of ["linear.weight", "linear.bias"]) {
        assertMatches(parameters.get(name), row("parameters"), `${name} after step ${index}`);
        assertMatches(velocities.get(name), row("velocities"), `velocity of ${name} after step ${index}`);
      }
    }
  } finally {
    session.close();
  }
});

testBoth("sgd() updates parameters of any length, and decays no role that is excepted", async (software) => {
  const options = { learningRate: 0.1, momentum: 0.9, weightDecay: 0.5 };
  const random = generator(11);
  const graph = new Graph({ training: true });
  const step = graph.input("step", STEP_BYTES);
  const [a, b] = ["a", "b"].map((name) => graph.source(name, [2, 9]));
  const free = coefficient(graph, "free", "coefficient");
  const decayed = coefficient(graph, "decayed");
  // d(free) = <g, a>, d(decayed) = <g, b>
  const sum = linearCombination(graph, "sum", [
    { tensor: a, coefficient: { constant: 0, slope: 1, parameter: free } },
    { tensor: b, coefficient: { constant: 0, slope: 1, parameter: decayed } },
  ]);
  const y = linear(graph, sum, { name: "linear", outputs: 15 });
  const cotangent = graph.source("dy", y.shape);
  differentiate(graph, new Map([[y, cotangent]]), linearCombination);
  sgd(graph, { ...options, step });
  let expected = new Map<string, SgdState>(graph.parameters.map(({ tensor }) => {
    const parameter = Float64Array.from(random(tensor.shape), Math.fround);
    return [tensor.name, { parameter, velocity: parameter.map(() => 0) }];
  }));
  const session = await GraphSession.open(graph, { keep: [], software });
  try {
    session.uploadParameters(new Map([...expected].map(([name, { parameter }]) => [name, parameter])));
    session.writeInput("decay_scales", decayScales(graph, new Set(["coefficient"])));
    session.writeInput("step", encodeStep({ learningRate: options.learningRate, seed: 0, epoch: 0 }));
    for (let index = 0; index < 3; index++) {
      for (const source of [a, b, cotangent]) session.writeSource(source, random(source.shape));
      session.step();
      const gradients = await session.variables.downloadGradients();
      const parameters = await session.variables.downloadParameters();
      expected = new Map([...expected].map(([name, state]) => {
        const weightDecay = name === "free" ? 0 : options.weightDecay;
        return [name, sgdStep(state, gradients.get(name)!, { ...options, weightDecay })];
      }));
      for (const [name, { parameter }] of expected) {
        assert(gradients.get(name)!.every((value) => value !== 0));
        assertMatches(parameters.get(name), parameter, `${name} after step ${index}`);
      }
    }
  } finally {
    session.close();
  }
});

testBoth("decodeImages() decodes, crops and mirrors as PyTorch does", async (software, t) => {
  for (const name of golden.cases("decode_images")) {
    // A convolution that reads the images asks for a border of zeros around them.
    for (const padding of [0, 1]) {
      for (const precision of precisions) {
        const what = `${name} with a border of ${padding}, ${precision}`;
        await t.step(what, () => checkDecode(name, { padding, software, precision }));
      }
    }
  }
});

async function checkDecode(
  name: string,
  options: { padding: number; software: boolean; precision: Precision },
): Promise<void> {
  const { padding, software, precision } = options;
  const { shape: [batch, height, width, channels], data } = golden.tensor(`${name}.pixels`);
  const { seed, epoch, cropPadding, horizontalFlip } = golden.options(name);
  const graph = new Graph({ training: true, precision });
  const pixels = graph.input("pixels", data.length);
  const examples = graph.input("examples", batch * 4);
  const step = graph.input("step", STEP_BYTES);
  const images = decodeImages(graph, {
    batch,
    height,
    width,
    channels,
    mean: [...golden.data(`${name}.mean`)],
    standardDeviation: [...golden.data(`${name}.standardDeviation`)],
    cropPadding,
    horizontalFlip: Boolean(horizontalFlip),
    pixels,
    examples,
    step,
  });
  // Each pixel's sum over its window, which sees what lies in the border.
  const kernel = 2 * padding + 1;
  const sums = conv2d(graph, images, { name: "sums", outputChannels: 1, kernel, padding });
  const result = await runGraph(graph, {
    parameters: new Map([["sums.weight", new Float32Array(channels * kernel * kernel).fill(1)]]),
    inputs: new Map<string, ArrayBufferView<ArrayBuffer>>([
      ["pixels", Uint8Array.from(data)],
      ["examples", Uint32Array.from(golden.data(`${name}.examples`))],
      ["step", new Uint8Array(encodeStep({ learningRate: 0, seed, epoch }))],
    ]),
    keep: [images, sums],
    software,
  });
  const { data: expected } = golden.tensor(`${name}.output`);
  assertMatches(result.values.get(images), expected, "images", precision);
  const expectedSums = windowSums(expected, { batch, height, width, channels, padding });
  assertMatches(result.values.get(sums), expectedSums, "window sums", precision);
}

function windowSums(
  images: Float64Array,
  size: { batch: number; height: number; width: number; channels: number; padding: number },
): Float64Array {
  const { batch, height, width, channels, padding } = size;
  const sums = new Float64Array(batch * height * width);
  for (let index = 0; index < sums.length; index++) {
    const [x, y] = [index % width, Math.floor(index / width) % height];
    const start = index - x - y * width;
    for (let py = Math.max(0, y - padding); py <= Math.min(height - 1, y + padding); py++) {
      for (let px = Math.max(0, x - padding); px <= Math.min(width - 1, x + padding); px++) {
        const pixel = (start + py * width + px) * channels;
        for (let c = 0; c < channels; c++) sums[index] += images[pixel + c];
      }
    }
  }
  return sums;
}

/** Normally distributed values; the same ones for the same seed. */
function generator(seed: number): (shape: Shape) => Float64Array {
  let state = seed;
  const uniform = () => {
    // The generator of Park and Miller.
    state = state * 48271 % 2147483647;
    return state / 2147483647;
  };
  return (shape) =>
    Float64Array.from({ length: shape.reduce((product, extent) => product * extent, 1) }, () => {
      return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    });
}

testBoth("differentiate() gives the slope of a composed loss along random directions", async (software, t) => {
  const random = generator(7);
  const [batch, classes] = [8, 5];
  const graph = new Graph({ training: true });
  const labels = graph.input("labels", batch * 4);
  const x = graph.source("x", [batch, 3, 4, 6], { needsGradient: true });
  const previous = graph.source("previous", x.shape, { needsGradient: true });
  // x is used twice. A second normalisation would cancel f.bias: nothing follows that has its gradient 0.
  const f = batchNorm(graph, x, { name: "f" });
  const u = lmStep(graph, "u", { u: x, previous, f, k: coefficient(graph, "k") });
  const pooled = globalAveragePool(
    graph,
    "pool",
    conv2d(graph, u, { name: "conv", outputChannels: 6, kernel: 3, padding: 1 }),
  );
  const logits = linear(graph, pooled, { name: "linear", outputs: classes });
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels, labelSmoothing: 0.1 });
  const gradients = differentiate(graph, new Map([[logits, dLogits]]), linearCombination);
  const dSources = new Map([x, previous].map((source) => [source.name, gradients.get(source)!]));

  const session = await GraphSession.open(graph, { keep: [results, ...dSources.values()], software });
  try {
    const values = new Map([x, previous, ...graph.parameters.map(({ tensor }) => tensor)].map((tensor) => {
      const scale = tensor.name.startsWith("conv") ? 0.3 : 1;
      return [tensor.name, random(tensor.shape).map((value) => scale * value)];
    }));
    session.uploadStates(new Map(graph.states.map(({ tensor }) => [tensor.name, new Float32Array(tensor.shape[0])])));
    session.writeInput("labels", Uint32Array.from({ length: batch }, (_, n) => n * 3 % classes));
    const lossAt = async (point: ReadonlyMap<string, Float64Array>) => {
      for (const source of [x, previous]) session.writeSource(source, point.get(source.name)!);
      session.uploadParameters(point);
      session.step();
      const rows = await session.read(results);
      return Array.from({ length: batch }, (_, n) => rows[n * 4]).reduce((sum, loss) => sum + loss, 0) / batch;
    };

    await lossAt(values);
    const analytic = new Map<string, ArrayLike<number>>(await session.variables.downloadGradients());
    for (const [name, tensor] of dSources) analytic.set(name, await session.read(tensor));
    assertEquals([...analytic.keys()].sort(), [...values.keys()].sort());
    for (const [name, gradient] of analytic) {
      await t.step(name, async () => {
        const direction = random([gradient.length]);
        const slope = direction.reduce((sum, d, i) => sum + d * gradient[i], 0);
        const along = (distance: number) => {
          const moved = values.get(name)!.map((value, i) => value + distance * direction[i]);
          return lossAt(new Map([...values, [name, moved]]));
        };
        // Central differences of order 4, as large steps as they allow: the loss has the rounding of f32.
        const h = 0.02;
        const [near, far] = [await along(h) - await along(-h), await along(2 * h) - await along(-2 * h)];
        const numeric = (8 * near - far) / (12 * h);
        const scale = Math.hypot(...Array.from(gradient));
        assert(scale > 0, `The gradient of ${name} is 0`);
        assertAlmostEquals(slope, numeric, 2e-3 * scale, `${name}: ${slope}, by differences ${numeric} (${scale})`);
      });
    }
  } finally {
    session.close();
  }
});

Deno.test("conv2d() says what does not fit", () => {
  const cases: readonly (readonly [Shape, Partial<Parameters<typeof conv2d>[2]>, string])[] = [
    [[2, 3], {}, "the input must be [N, H, W, C], got [2, 3]"],
    [[1, 8, 8, 3], { groups: 2 }, "groups must divide the channels, got 2 groups for 3 -> 4 channels"],
    [
      [1, 8, 8, 4],
      { groups: 2, outputChannels: 5 },
      "groups must divide the channels, got 2 groups for 4 -> 5 channels",
    ],
    [[1, 2, 5, 3], {}, "a 3x3 kernel does not fit 2x5 with padding 0"],
    [[1, 8, 8, 3], { stride: 0 }, "stride must be an integer of at least 1, got 0"],
    [[1, 8, 8, 3], { groups: 0 }, "groups must be an integer of at least 1, got 0"],
    [[1, 8, 8, 3], { outputChannels: 1.5 }, "outputChannels must be an integer of at least 1, got 1.5"],
    [[1, 8, 8, 3], { kernel: [3, 0] }, "kernelWidth must be an integer of at least 1, got 0"],
    [[1, 8, 8, 3], { padding: -1 }, "padding must be an integer of at least 0, got -1"],
  ];
  for (const [shape, options, detail] of cases) {
    const graph = new Graph({ training: true });
    const x = graph.source("x", shape);
    const record = () => conv2d(graph, x, { name: "conv", outputChannels: 4, kernel: 3, ...options });
    assertEquals(assertThrows(record, ShapeError).message, `Cannot record conv2d: ${detail}`);
    assertEquals(graph.parameters, []);
  }
});

Deno.test("batchNorm() says that its input must be an image", () => {
  const graph = new Graph({ training: true });
  const error = assertThrows(() => batchNorm(graph, graph.source("x", [2, 3]), { name: "bn" }), ShapeError);
  assertEquals(error.message, "Cannot record batch_norm: the input must be [N, H, W, C], got [2, 3]");
  assertEquals(error.operation, "batch_norm");
  assertEquals(graph.parameters, []);
});

Deno.test("maxPool2d() and placeChannels() say what does not fit", () => {
  const graph = new Graph({ training: true });
  const x = graph.source("x", [1, 4, 5, 8]);
  const pool = { name: "pool", kernel: 3, stride: 2, padding: 1 };
  const placed = { name: "placed", channels: 8 };
  const cases: readonly (readonly [() => Tensor, string])[] = [
    [() => maxPool2d(graph, graph.source("m", [1, 4]), pool), "the input must be [N, H, W, C], got [1, 4]"],
    [() => maxPool2d(graph, x, { ...pool, stride: 0 }), "stride must be an integer of at least 1, got 0"],
    [
      () => maxPool2d(graph, x, { ...pool, padding: 2 }),
      "padding must be an integer from 0 to half the kernel of 3, got 2",
    ],
    [
      () => maxPool2d(graph, x, { ...pool, kernel: 5, padding: 0 }),
      "a 5x5 window does not fit 4x5 with padding 0",
    ],
    [() => placeChannels(graph, graph.source("m", [1, 4]), placed), "the input must be [N, H, W, C], got [1, 4]"],
    [() => placeChannels(graph, x, { ...placed, offset: 2 }), "offset must be a multiple of 4, got 2"],
    [() => placeChannels(graph, x, { ...placed, channels: 0 }), "channels must be an integer of at least 1, got 0"],
  ];
  for (const [record, detail] of cases) {
    const { message } = assertThrows(record, ShapeError);
    assert(message.endsWith(`: ${detail}`), message);
  }
});

Deno.test("linearCombination() says which shapes differ", () => {
  const graph = new Graph({ training: true });
  const terms = [[1, 4, 4, 8], [1, 4, 4, 8], [1, 2, 2, 8]].map((shape, i) => {
    return { tensor: graph.source(`x${i}`, shape), coefficient: ONE };
  });
  const error = assertThrows(() => linearCombination(graph, "sum", terms), ShapeError);
  assertEquals(error.message, "Cannot record a sum: shapes [1, 4, 4, 8] and [1, 2, 2, 8] differ");
});
