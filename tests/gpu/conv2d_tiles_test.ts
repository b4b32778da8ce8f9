/** The tiled matrix products, each tile by itself, against the double-precision reference. */
import { assert, assertEquals } from "@std/assert";
import type { ImageBuffer, ParameterRange, Target } from "../../src/gpu/graph/kernel.ts";
import { backwardInputRequests, conv2dHalos, forwardRequest } from "../../src/gpu/ops/conv2d_lowering.ts";
import type { BoundEpilogue, Conv2dProblem } from "../../src/gpu/ops/conv2d_problem.ts";
import { tileForms, tileKernels } from "../../src/gpu/ops/conv2d_tiles.ts";
import { tiledGradientForms, tiledGradientKernels } from "../../src/gpu/ops/conv2d_weight_gradient_tiles.ts";
import {
  channelQuads,
  type ElementType,
  type GradientTile,
  gradientTileBytes,
  gradientTileThreads,
  quadBytes,
  type Tile,
  tileBytes,
  tiledGradientCounts,
  tileThreads,
} from "../../src/wgsl/mod.ts";
import { conv2d as reference, conv2dBackwardInput, conv2dBackwardWeight } from "../reference/conv2d.ts";
import { assertClose } from "../support/golden.ts";
import { testDevice, testPrecisions, toLogical, toPhysical } from "../support/graph_runner.ts";
import { KernelRunner } from "../support/kernel_runner.ts";

interface Case {
  readonly input: readonly [batch: number, height: number, width: number, channels: number];
  readonly outputChannels: number;
  readonly kernel: readonly [number, number];
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
  /** pixels, channels, depth, pixels and channels of a thread, groups. */
  readonly tile: readonly [number, number, number, number, number, number?];
  /** Steps of a slice of the sums; default: there is one slice. */
  readonly tileSteps?: number;
  /** outputs, inputs, depth, outputs and inputs of a thread, groups. */
  readonly gradientTile: readonly [number, number, number, number, number, number?];
  readonly sliceSteps: number;
}

const CASES = {
  "3x3, whole tiles": {
    input: [2, 8, 8, 32],
    outputChannels: 32,
    kernel: [3, 3],
    padding: 1,
    tile: [32, 32, 16, 4, 4],
    gradientTile: [32, 32, 16, 4, 4],
    sliceSteps: 4,
  },
  "3x3 stride 2, odd sizes, channels that fill no tile": {
    input: [3, 7, 5, 20],
    outputChannels: 28,
    kernel: [3, 3],
    stride: 2,
    padding: 1,
    tile: [32, 16, 16, 4, 4],
    tileSteps: 5,
    gradientTile: [16, 48, 16, 4, 4],
    sliceSteps: 1,
  },
  "1x1 in the widest tile": {
    input: [3, 7, 5, 24],
    outputChannels: 132,
    kernel: [1, 1],
    tile: [128, 128, 8, 8, 8],
    gradientTile: [128, 128, 8, 8, 8],
    sliceSteps: 5,
  },
  "1x1 stride 2, 5 input channels": {
    input: [1, 7, 9, 5],
    outputChannels: 64,
    kernel: [1, 1],
    stride: 2,
    tile: [64, 64, 8, 4, 8],
    gradientTile: [64, 8, 8, 4, 4],
    sliceSteps: 1,
  },
  "a 7x7 stem of stride 2 from 3 channels": {
    input: [1, 17, 15, 3],
    outputChannels: 16,
    kernel: [7, 7],
    stride: 2,
    padding: 3,
    tile: [64, 16, 16, 8, 4],
    gradientTile: [16, 72, 16, 4, 4],
    sliceSteps: 3,
  },
  "groups of 4 channels, one in a tile": {
    input: [1, 6, 5, 12],
    outputChannels: 12,
    kernel: [3, 3],
    padding: 1,
    groups: 3,
    tile: [128, 4, 4, 4, 4],
    gradientTile: [4, 36, 32, 4, 4],
    sliceSteps: 2,
  },
  "groups of 4 channels, 8 in a tile": {
    input: [2, 6, 5, 64],
    outputChannels: 64,
    kernel: [3, 3],
    padding: 1,
    groups: 16,
    tile: [32, 4, 4, 8, 4, 8],
    gradientTile: [4, 36, 4, 4, 4, 4],
    sliceSteps: 7,
  },
  "groups of 8 channels, 4 in a tile, stride 2": {
    input: [2, 9, 7, 64],
    outputChannels: 64,
    kernel: [3, 3],
    stride: 2,
    padding: 1,
    groups: 8,
    tile: [64, 8, 4, 8, 8, 4],
    tileSteps: 4,
    gradientTile: [8, 72, 8, 8, 8, 2],
    sliceSteps: 4,
  },
  "groups of 64 channels": {
    input: [1, 7, 5, 128],
    outputChannels: 128,
    kernel: [3, 3],
    padding: 1,
    groups: 2,
    tile: [64, 64, 16, 8, 4],
    gradientTile: [64, 96, 8, 8, 8],
    sliceSteps: 2,
  },
  "a stride past the kernel": {
    input: [1, 10, 10, 16],
    outputChannels: 16,
    kernel: [2, 3],
    stride: 3,
    tile: [128, 16, 8, 8, 4],
    gradientTile: [16, 16, 4, 4, 8],
    sliceSteps: 1,
  },
} as const satisfies Record<string, Case>;

for (const [name, options] of Object.entries(CASES)) {
  Deno.test(`tiles compute a convolution and its gradients with ${name}`, () => check(options, "f32"));
}

const precisions = await testPrecisions();
const STORED_AS_F16 = [
  "3x3 stride 2, odd sizes, channels that fill no tile",
  "groups of 4 channels, 8 in a tile",
  "a 7x7 stem of stride 2 from 3 channels",
] as const;

for (const name of STORED_AS_F16) {
  Deno.test({
    name: `tiles compute a convolution and its gradients with ${name}, in f16 (needs shader-f16)`,
    ignore: !precisions.includes("mixed"),
    fn: () => check(CASES[name], "f16"),
  });
}

/** More than any sum has. */
const ALL_STEPS = 1000;

/** Bytes of every image's buffer behind the image, which no kernel may write. */
const PAST_THE_END = 65536;

async function check(options: Case, type: ElementType): Promise<void> {
  const device = await testDevice();
  const target: Target = { ...device.target, software: false };
  const problem = problemOf(options);
  const { batch, inputHeight, inputWidth, inputChannels, outputHeight, outputWidth, outputChannels } = problem;
  const shapes = {
    input: [batch, inputHeight, inputWidth, inputChannels],
    output: [batch, outputHeight, outputWidth, outputChannels],
    weight: [outputChannels, inputChannels / problem.groups, problem.kernelHeight, problem.kernelWidth],
  };
  const [x, dy, w] = [random(shapes.input, type), random(shapes.output, type), random(shapes.weight, type)];
  const runner = new KernelRunner(device);
  try {
    const image = (label: string, shape: readonly number[], halo: number): ImageBuffer => {
      const [, height, width, channels] = shape;
      const layout = { height, width, channels, halo, elementType: type };
      const quads = batch * (height + 2 * halo) * (width + 2 * halo) * channelQuads(layout);
      return { ...layout, buffer: runner.allocate(label, quads * quadBytes(type) + PAST_THE_END) };
    };
    const parameter = (label: string): ParameterRange => ({
      buffer: runner.allocate(label, w.length * 4),
      offset: 0,
      length: w.length,
    });
    const halos = conv2dHalos(problem);
    const input = image("x", shapes.input, halos.input);
    const dOutput = image("dy", shapes.output, halos.dOutput);
    const output = image("y", shapes.output, 1);
    const dInput = image("dx", shapes.input, 0);
    const [weight, dWeight] = [parameter("w"), parameter("dw")];
    runner.write(input.buffer, stored(toPhysical(x, shapes.input, input.halo), type));
    runner.write(dOutput.buffer, stored(toPhysical(dy, shapes.output, dOutput.halo), type));
    runner.write(weight.buffer, w);
    const { requests, untouched } = backwardInputRequests(problem, { dOutput, weight, dInput });
    if (untouched) runner.write(dInput.buffer, new Uint8Array(dInput.buffer.bytes));
    const schedule = { tile: tileOf(options.tile), sliceSteps: options.tileSteps ?? ALL_STEPS };
    const context = { schedule, target, memory: runner };
    const gradient = {
      ...problem,
      input,
      dOutput,
      tile: gradientTileOf(options.gradientTile),
      sliceSteps: options.sliceSteps,
    };
    await runner.run([
      ...tileKernels(problem, forwardRequest(problem, { input, weight, output }), context),
      ...requests.flatMap((request) => tileKernels(problem, request, context)),
      ...tiledGradientKernels(problem, { input, dOutput, dWeight }, { gradient, memory: runner }),
    ]);
    const logical = async ({ buffer, halo }: ImageBuffer, shape: readonly number[]) => {
      const values = numbers(await runner.read(buffer), type);
      const pixels = batch * shape[1] * shape[2];
      // The border of the image and what lies past its end still hold the NaN they were given.
      const written = Array.from(values).filter((value) => !Number.isNaN(value)).length;
      assertEquals(
        written,
        buffer === dInput.buffer && untouched ? values.length : pixels * Math.ceil(shape[3] / 4) * 4,
      );
      return toLogical(values, shape, halo);
    };
    const tolerance = type === "f32" ? 1e-6 : 1e-3;
    assertClose(await logical(output, shapes.output), reference(problem, x, w), { tolerance, what: "output" });
    const dx = conv2dBackwardInput(problem, dy, w);
    assertClose(await logical(dInput, shapes.input), dx, { tolerance, what: "dInput" });
    const dw = new Float32Array(await runner.read(dWeight.buffer)).subarray(0, w.length);
    assertClose(dw, conv2dBackwardWeight(problem, x, dy), { tolerance: 1e-6, what: "dWeight" });
  } finally {
    runner.close();
  }
}

for (const sliceSteps of [ALL_STEPS, 3]) {
  const where = sliceSteps === ALL_STEPS ? "the tiles" : "the tiles' slices";
  Deno.test(`an epilogue of ${where} reads an image of another halo, and vectors`, () => checkEpilogue(sliceSteps));
}

async function checkEpilogue(sliceSteps: number): Promise<void> {
  const device = await testDevice();
  const target: Target = { ...device.target, software: false };
  const shape = [2, 7, 5, 24];
  const problem = problemOf({ input: [2, 7, 5, 24], outputChannels: 24, kernel: [3, 3], padding: 1 });
  const [x, w, added] = [random(shape, "f32"), random([24, 24, 3, 3], "f32"), random([2, 7, 5, 24, 1], "f32")];
  const scales = random([24, 7], "f32").subarray(0, 24);
  const runner = new KernelRunner(device);
  try {
    const image = (label: string, halo: number): ImageBuffer => ({
      height: 7,
      width: 5,
      channels: 24,
      halo,
      buffer: runner.allocate(label, 2 * (7 + 2 * halo) * (5 + 2 * halo) * 24 * 4),
    });
    const [input, other, output] = [image("x", 1), image("e", 2), image("y", 0)];
    const weight = { buffer: runner.allocate("w", w.byteLength), offset: 0, length: w.length };
    const scale = runner.allocate("scale", 24 * 4);
    runner.write(input.buffer, toPhysical(x, shape, 1));
    runner.write(other.buffer, toPhysical(added, shape, 2));
    runner.write(weight.buffer, w);
    runner.write(scale, scales);
    const epilogue: BoundEpilogue = {
      inputs: [other],
      declarations: ["var<storage, read> scales: array<vec4<f32>>;"],
      bindings: [{ buffer: other.buffer, access: "read" }, { buffer: scale, access: "read" }],
      vectors: (c) => [`scales[${c}]`],
      expression: "max(fma(value, v0, e0), vec4<f32>())",
    };
    const schedule = { tile: tileOf([32, 32, 16, 4, 8]), sliceSteps };
    const request = forwardRequest(problem, { input, weight, output }, epilogue);
    await runner.run(tileKernels(problem, request, { schedule, target, memory: runner }));
    const expected = reference(problem, x, w).map((value, i) => Math.max(0, value * scales[i % 24] + added[i]));
    const actual = toLogical(new Float32Array(await runner.read(output.buffer)), shape, 0);
    assertClose(actual, expected, { tolerance: 1e-6, what: "output" });
  } finally {
    runner.close();
  }
}

Deno.test("tileKernels() folds a grid that is longer than an axis may be", async () => {
  const device = await testDevice();
  const target: Target = { ...device.target, software: false, maxWorkgroupsPerDimension: 3 };
  const problem = problemOf({ input: [1, 10, 11, 4], outputChannels: 32, kernel: [1, 1] });
  const [x, w] = [random([1, 10, 11, 4], "f32"), random([32, 4, 1, 1], "f32")];
  const runner = new KernelRunner(device);
  try {
    const image = (channels: number): ImageBuffer => ({
      height: 10,
      width: 11,
      channels,
      halo: 0,
      buffer: runner.allocate("image", 110 * channels * 4),
    });
    const [input, output] = [image(4), image(32)];
    const weight = { buffer: runner.allocate("w", w.byteLength), offset: 0, length: w.length };
    runner.write(input.buffer, x);
    runner.write(weight.buffer, w);
    const request = forwardRequest(problem, { input, weight, output });
    const schedule = { tile: tileOf([32, 16, 4, 4, 4]), sliceSteps: ALL_STEPS };
    const kernels = tileKernels(problem, request, { schedule, target, memory: runner });
    assertEquals(kernels[1].workgroups, [3, 3, 1]);
    await runner.run(kernels);
    const actual = new Float32Array(await runner.read(output.buffer));
    assertClose(actual, reference(problem, x, w), { tolerance: 1e-6, what: "output" });
  } finally {
    runner.close();
  }
});

const ANY_GPU: Target = {
  software: false,
  subgroupSize: 32,
  maxUniformBindingBytes: 65536,
  maxStorageBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 28,
  maxWorkgroupsPerDimension: 65535,
};

/** The best forms of a problem, forward and weight gradient. */
function bestOf(problem: Conv2dProblem) {
  const { input, output, weight } = places(problem);
  const [forward] = tileForms(problem, forwardRequest(problem, { input, weight, output }), ANY_GPU);
  const [{ gradient }] = tiledGradientForms(problem, { input, dOutput: output }, ANY_GPU);
  return { forward, gradient };
}

Deno.test("tileForms() takes wide tiles where there is enough to do, and slices where there is not", () => {
  const large = bestOf(problemOf({ input: [128, 14, 14, 256], outputChannels: 256, kernel: [3, 3], padding: 1 }));
  assertEquals(large.forward.name, "tiles 128x128x8");
  const single = bestOf(problemOf({ input: [1, 7, 7, 512], outputChannels: 512, kernel: [3, 3], padding: 1 }));
  assert(/ in \d+ slices$/.test(single.forward.name), single.forward.name);
});

Deno.test("tiledGradientForms() cuts the pixels into slices where the weights do not fill a GPU", () => {
  const narrow = bestOf(problemOf({ input: [128, 32, 32, 16], outputChannels: 16, kernel: [3, 3], padding: 1 }));
  assert(tiledGradientCounts(narrow.gradient).slices >= 32);
  const wide = bestOf(problemOf({ input: [32, 7, 7, 512], outputChannels: 512, kernel: [3, 3], padding: 1 }));
  assert(tiledGradientCounts(wide.gradient).slices <= 2);
});

Deno.test("tileForms() and tiledGradientForms() keep to every adapter's limits and to one group's channels", () => {
  const problems = [
    problemOf({ input: [32, 56, 56, 64], outputChannels: 64, kernel: [3, 3], padding: 1 }),
    problemOf({ input: [1, 7, 7, 512], outputChannels: 2048, kernel: [1, 1] }),
    problemOf({ input: [256, 224, 224, 3], outputChannels: 64, kernel: [7, 7], stride: 2, padding: 3 }),
    problemOf({ input: [128, 32, 32, 128], outputChannels: 128, kernel: [3, 3], padding: 1, groups: 32 }),
    problemOf({ input: [3, 5, 7, 36], outputChannels: 12, kernel: [3, 3], padding: 1, groups: 3 }),
    problemOf({ input: [1, 1, 1, 1], outputChannels: 1, kernel: [1, 1] }),
  ];
  for (const problem of problems) {
    const { input, output, weight } = places(problem);
    const forms = tileForms(problem, forwardRequest(problem, { input, weight, output }), ANY_GPU);
    assert(forms.length > 0);
    assertEquals(new Set(forms.map(({ name }) => name)).size, forms.length);
    for (const { name, tile } of forms) {
      const { threads } = tileThreads(tile);
      assert(tileBytes(tile) <= 16384 && threads >= 32 && threads <= 256, name);
      assert(tile.groups === 1 || tile.channels === problem.outputChannels / problem.groups, name);
    }
    const gradients = tiledGradientForms(problem, { input, dOutput: output }, ANY_GPU);
    assert(gradients.length > 0);
    assertEquals(new Set(gradients.map(({ name }) => name)).size, gradients.length);
    for (const { name, gradient } of gradients) {
      const { slices, partialQuads } = tiledGradientCounts(gradient);
      assert(slices * partialQuads * 16 <= ANY_GPU.maxStorageBindingBytes, name);
      const { threads } = gradientTileThreads(gradient.tile);
      assert(gradientTileBytes(gradient.tile) <= 16384 && threads <= 256, name);
    }
  }
});

function places(problem: Conv2dProblem) {
  const buffer = { id: 0, label: "", bytes: 0 };
  const { inputHeight, inputWidth, inputChannels, outputHeight, outputWidth, outputChannels } = problem;
  const input = { buffer, height: inputHeight, width: inputWidth, channels: inputChannels, halo: problem.padding };
  const output = { buffer, height: outputHeight, width: outputWidth, channels: outputChannels, halo: 0 };
  return { input, output, weight: { buffer, offset: 0, length: 0 } };
}

function problemOf(options: Omit<Case, "tile" | "gradientTile" | "sliceSteps">): Conv2dProblem {
  const { input, outputChannels, kernel, stride = 1, padding = 0, groups = 1 } = options;
  const [batch, inputHeight, inputWidth, inputChannels] = input;
  const [kernelHeight, kernelWidth] = kernel;
  const extent = (size: number, taps: number) => Math.floor((size + 2 * padding - taps) / stride) + 1;
  return {
    batch,
    inputHeight,
    inputWidth,
    inputChannels,
    outputHeight: extent(inputHeight, kernelHeight),
    outputWidth: extent(inputWidth, kernelWidth),
    outputChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
    groups,
  };
}

function tileOf([pixels, channels, depth, threadPixels, threadChannels, groups = 1]: Case["tile"]): Tile {
  return { pixels, channels, depth, threadPixels, threadChannels, groups };
}

function gradientTileOf(
  [outputs, inputs, depth, threadOutputs, threadInputs, groups = 1]: Case["gradientTile"],
): GradientTile {
  return { outputs, inputs, depth, threadOutputs, threadInputs, groups };
}

/** Values in [-1/2, 1/2) that the type can hold, the same for the same shape. */
function random(shape: readonly number[], type: ElementType): Float32Array<ArrayBuffer> {
  let state = 1 + shape.reduce((sum, size, i) => sum + size * (i + 7), 0);
  return Float32Array.from({ length: shape.reduce((size, extent) => size * extent, 1) }, () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    const value = state / 2 ** 32 - 0.5;
    return type === "f16" ? Math.f16round(value) : value;
  });
}

function stored(values: Float32Array<ArrayBuffer>, type: ElementType): ArrayBufferView<ArrayBuffer> {
  return type === "f16" ? Float16Array.from(values) : values;
}

function numbers(bytes: ArrayBuffer, type: ElementType): ArrayLike<number> {
  return type === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
}
