/** Augmentation on the GPU against the reference, image by image. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  decodeImages,
  encodeStep,
  Graph,
  mixupShare,
  PURPOSE,
  type RandomErasing,
  softmaxCrossEntropy,
  STEP_BYTES,
} from "../../src/gpu/mod.ts";
import {
  augmentedBytes,
  type AugmentOptions,
  cutoutSquare,
  erasedRectangle,
  mixed,
  normalised,
} from "../reference/augment_images.ts";
import { softmaxCrossEntropy as referenceCrossEntropy } from "../reference/softmax_cross_entropy.ts";
import { assertClose } from "../support/golden.ts";
import { runGraph, testDevice } from "../support/graph_runner.ts";

const { software: isSoftware } = (await testDevice()).adapter;

interface Case {
  readonly name: string;
  readonly size: readonly [height: number, width: number, channels: 1 | 3];
  readonly batch: number;
  readonly crop?: number;
  readonly cutout?: number;
  readonly erasing?: RandomErasing;
  readonly mixup?: number;
}

const cases: Case[] = [
  { name: "nothing", size: [5, 7, 3], batch: 3 },
  { name: "crop and mirror", size: [32, 32, 3], batch: 32, crop: 4 },
  { name: "cutout of an even side", size: [32, 32, 3], batch: 64, cutout: 16 },
  { name: "cutout of an odd side", size: [28, 28, 1], batch: 64, cutout: 7 },
  { name: "cutout larger than the image", size: [5, 7, 3], batch: 16, cutout: 12 },
  { name: "erasing of all", size: [32, 32, 3], batch: 128, erasing: { probability: 1, fill: "zero" } },
  { name: "erasing of some, with noise", size: [24, 40, 3], batch: 128, erasing: { probability: 0.3, fill: "noise" } },
  { name: "erasing of images of one row", size: [1, 9, 1], batch: 16, erasing: { probability: 1, fill: "noise" } },
  { name: "erasing of large images", size: [224, 224, 3], batch: 4, erasing: { probability: 1, fill: "zero" } },
  { name: "mixup", size: [16, 16, 3], batch: 9, mixup: 0.3 },
  { name: "mixup of one image", size: [8, 8, 1], batch: 1, mixup: 0.7 },
  {
    name: "all of it",
    size: [32, 32, 3],
    batch: 32,
    crop: 4,
    cutout: 8,
    erasing: { probability: 0.5, fill: "noise" },
    mixup: 0.45,
  },
];

for (const augmentation of cases) {
  Deno.test(`decodeImages() equals the reference image by image: ${augmentation.name}`, () =>
    checkImages(augmentation));
}

async function checkImages({ size, batch, crop = 0, cutout = 0, erasing, mixup }: Case): Promise<void> {
  const [height, width, channels] = size;
  const imageBytes = height * width * channels;
  const options: AugmentOptions = {
    ...{ height, width, channels },
    mean: [0.4914, 0.4822, 0.4465].slice(0, channels),
    standardDeviation: [0.247, 0.2435, 0.2616].slice(0, channels),
    cropPadding: crop,
    horizontalFlip: crop > 0,
    cutoutSize: cutout,
    erasing: erasing ?? { probability: 0, fill: "zero" },
    seed: 1234,
    epoch: 5,
    purposes: PURPOSE,
  };
  const pixels = Uint8Array.from({ length: batch * imageBytes }, (_, i) => (i * 2654435761 >>> 13) & 255);
  const examples = Uint32Array.from({ length: batch }, (_, i) => i * 977 + 3);

  const graph = new Graph({ training: true });
  const [pixelInput, exampleInput] = [graph.input("pixels", pixels.length), graph.input("examples", batch * 4)];
  const step = graph.input("step", STEP_BYTES);
  const images = decodeImages(graph, {
    ...{ batch, height, width, channels, mean: options.mean, standardDeviation: options.standardDeviation },
    ...{ cropPadding: crop, horizontalFlip: crop > 0, cutoutSize: cutout, randomErasing: erasing },
    mixup: mixup !== undefined,
    ...{ pixels: pixelInput, examples: exampleInput, step },
  });
  const { seed, epoch } = options;
  const result = await runGraph(graph, {
    inputs: new Map<string, ArrayBufferView<ArrayBuffer>>([
      ["pixels", padded(pixels)],
      ["examples", examples],
      ["step", new Uint8Array(encodeStep({ learningRate: 0, seed, epoch, mixupShare: mixup }))],
    ]),
    keep: [images],
  });
  const actual = result.values.get(images);
  assert(actual);
  const decoded = [...examples].map((example, n) => {
    return normalised(augmentedBytes(pixels.subarray(n * imageBytes, (n + 1) * imageBytes), example, options), options);
  });
  decoded.forEach((image, n) => {
    const partner = decoded[(n + batch - 1) % batch];
    const expected = mixup === undefined ? image : mixed(image, partner, mixup);
    assertImage(actual.subarray(n * imageBytes, (n + 1) * imageBytes), expected, `image ${n}`);
  });
}

/**
 * To the bit on software Vulkan, which rounds every operation. WGSL lets others divide within 2.5 units in the last
 * place, twice here, and add a product without rounding it; a byte more or less would be 30,000 times that.
 */
function assertImage(actual: Float32Array, expected: Float32Array, what: string): void {
  if (isSoftware) return assertEquals(actual, expected, what);
  actual.forEach((value, i) => assertAlmostEquals(value, expected[i], 5e-7 * 4, `${what}, value ${i}`));
}

function padded(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const words = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  words.set(bytes);
  return words;
}

Deno.test("random erasing takes its share of the images, in areas and aspect ratios of the paper", () => {
  const options = optionsOf({ erasing: { probability: 0.25, fill: "zero" } });
  const rectangles = Array.from({ length: 20_000 }, (_, example) => erasedRectangle(example, options));
  const erased = rectangles.filter((rectangle) => rectangle !== undefined);
  // Four standard deviations.
  assertAlmostEquals(erased.length / rectangles.length, 0.25, 4 * Math.sqrt(0.25 * 0.75 / 20_000));
  for (const { top, left, height, width } of erased) {
    // Sides are rounded to whole pixels.
    assert(height * width > 0.02 * 1024 * 0.75 && height * width < 0.4 * 1024 * 1.06, `${height} x ${width}`);
    assert((height + 0.5) / (width - 0.5) > 0.3 && (height - 0.5) / (width + 0.5) < 1 / 0.3, `${height} x ${width}`);
    assert(top >= 0 && left >= 0 && top + height <= 32 && left + width <= 32);
  }
  const mean = erased.reduce((sum, { height, width }) => sum + height * width, 0) / erased.length / 1024;
  assertAlmostEquals(mean, 0.2, 0.02);
});

Deno.test("cutout's squares lie around every pixel alike", () => {
  const options = optionsOf({ cutoutSize: 16 });
  const centres = new Set<string>();
  for (let example = 0; example < 20_000; example++) {
    const square = cutoutSquare(example, options);
    assert(square);
    centres.add(`${square.top + 8} ${square.left + 8}`);
    assert(square.top >= -8 && square.top <= 23 && square.left >= -8 && square.left <= 23);
  }
  assertEquals(centres.size, 32 * 32);
});

function optionsOf(changes: Partial<AugmentOptions>): AugmentOptions {
  return {
    ...{ height: 32, width: 32, channels: 3, mean: [0, 0, 0], standardDeviation: [1, 1, 1] },
    ...{ cropPadding: 0, horizontalFlip: false, cutoutSize: 0, erasing: { probability: 0, fill: "zero" } },
    ...{ seed: 1, epoch: 0, purposes: PURPOSE },
    ...changes,
  };
}

Deno.test("mixupShare() draws from Beta(alpha, alpha)", () => {
  const count = 20_000;
  for (const alpha of [0.1, 0.2, 0.5, 1, 2, 8]) {
    const shares = Array.from({ length: count }, (_, step) => mixupShare(alpha, { seed: 7, step }));
    assert(shares.every((share) => share >= 0 && share <= 1));
    const variance = 1 / (4 * (2 * alpha + 1));
    const mean = shares.reduce((sum, share) => sum + share, 0) / count;
    assertAlmostEquals(mean, 0.5, 4 * Math.sqrt(variance / count), `mean for alpha ${alpha}`);
    const spread = shares.reduce((sum, share) => sum + (share - 0.5) ** 2, 0) / count;
    assertAlmostEquals(spread, variance, 0.03 * variance + 1e-3, `variance for alpha ${alpha}`);
  }
  // Kolmogorov and Smirnov, at a level of 1e-4, where the distribution has a closed form.
  const closed = new Map<number, (x: number) => number>([
    [0.5, (x) => 2 / Math.PI * Math.asin(Math.sqrt(x))],
    [1, (x) => x],
    [2, (x) => x * x * (3 - 2 * x)],
  ]);
  for (const [alpha, distribution] of closed) {
    const sorted = Array.from({ length: count }, (_, step) => mixupShare(alpha, { seed: 8, step })).sort((a, b) =>
      a - b
    );
    const distance = Math.max(...sorted.map((share, i) => Math.abs(distribution(share) - (i + 0.5) / count)));
    assert(distance < 2.23 / Math.sqrt(count), `distance ${distance} for alpha ${alpha}`);
  }
  assert(Number.isFinite(mixupShare(1e-4, { seed: 1, step: 1 })));
  assertEquals(mixupShare(0.2, { seed: 1, step: 9 }), mixupShare(0.2, { seed: 1, step: 9 }));
});

Deno.test("softmaxCrossEntropy() with mixup is both labels' loss in their shares; the larger is the true class", async () => {
  const [batch, classes, labelSmoothing] = [6, 5, 0.1];
  const values = Float32Array.from({ length: batch * classes }, (_, i) => Math.sin(i * 1.7) * 3);
  const labels = Uint32Array.of(0, 4, 2, 2, 1, 3);
  const partners = labels.map((_, n) => labels[(n + batch - 1) % batch]);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const graph = new Graph({ training: true });
    const logits = graph.source("logits", [batch, classes], { needsGradient: true });
    const [handle, mixup] = [graph.input("labels", batch * 4), graph.input("step", STEP_BYTES)];
    const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels: handle, labelSmoothing, mixup });
    const { values: actual } = await runGraph(graph, {
      sources: new Map([[logits, values]]),
      inputs: new Map<string, ArrayBufferView<ArrayBuffer>>([
        ["labels", labels],
        ["step", new Uint8Array(encodeStep({ learningRate: 0, seed: 0, epoch: 0, mixupShare: share }))],
      ]),
      keep: [dLogits, results],
    });
    const own = referenceCrossEntropy(values, labels, { classes, labelSmoothing });
    const other = referenceCrossEntropy(values, partners, { classes, labelSmoothing });
    const blend = (a: Float64Array, b: Float64Array) => a.map((value, i) => (1 - share) * value + share * b[i]);
    const told = actual.get(results) ?? new Float32Array();
    const column = (index: number) => Array.from({ length: batch }, (_, n) => told[n * 4 + index]);
    const tolerance = 1e-5;
    assertClose(column(0), blend(own.losses, other.losses), { tolerance, what: `losses for a share of ${share}` });
    assertClose(actual.get(dLogits) ?? [], blend(own.dLogits, other.dLogits), { tolerance, what: "dLogits" });
    column(1).forEach((rank, n) => {
      const row = values.subarray(n * classes, (n + 1) * classes);
      const truth = share > 0.5 ? partners[n] : labels[n];
      assertEquals(rank, row.filter((logit) => logit > row[truth]).length, `rank of row ${n}`);
    });
  }
});
