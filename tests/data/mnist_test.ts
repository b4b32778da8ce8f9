import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import type { LabelledImages } from "../../src/data/mod.ts";
import { DatasetRegistry } from "../../src/data/mod.ts";
import { sha256, TemporaryFolder } from "./fixtures.ts";

const IMAGE = 28 * 28;
/** Images a digit in the package; four fifths of each train. */
const COUNTS = [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978];

function countLabels({ labels }: { labels: Uint32Array }, limit = labels.length): number[] {
  const counts = COUNTS.map(() => 0);
  for (const label of labels.subarray(0, limit)) counts[label]++;
  return counts;
}

function image({ pixels }: LabelledImages, i: number): Uint8Array {
  return pixels.subarray(i * IMAGE, (i + 1) * IMAGE);
}

Deno.test("mnist is described with its split, its normalisation and its augmentation", async () => {
  await using folder = await TemporaryFolder.create();
  const mnist = await new DatasetRegistry(folder.path).describe("mnist");
  assertEquals([mnist.height, mnist.width, mnist.channels], [28, 28, 1]);
  assertEquals(mnist.images, { train: 8000, test: 2000 });
  assertEquals(mnist.classNames, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  assertEquals([mnist.cropPadding, mnist.horizontalFlip], [2, false]);
  // All 60,000 images of MNIST have 0.1307 and 0.3081.
  assertAlmostEquals(mnist.mean[0], 0.1307, 0.0005);
  assertAlmostEquals(mnist.standardDeviation[0], 0.3081, 0.0005);
  assertStringIncludes(
    mnist.description,
    "the first four fifths in the package's order train and the last fifth tests",
  );
  assertStringIncludes(mnist.description, "(8,000 and 2,000; a digit has 863 to 1,127 images");
});

Deno.test("mnist keeps each digit's share in both splits, and in any prefix of them", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.path);
  const train = await registry.load("mnist", "train");
  const test = await registry.load("mnist", "test");
  assertEquals(countLabels(train), COUNTS.map((count) => Math.round(count * 0.8)));
  assertEquals(countLabels(test), COUNTS.map((count) => count - Math.round(count * 0.8)));
  for (const [split, limit] of [[train, 100], [train, 1000], [test, 100]] as const) {
    countLabels(split, limit).forEach((count, digit) => assertAlmostEquals(count, COUNTS[digit] * limit / 10_000, 1));
  }
});

Deno.test("mnist is the same split to the byte", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.path);
  const hashes: string[] = [];
  for (const split of ["train", "test"] as const) {
    const { pixels, labels } = await registry.load("mnist", split);
    hashes.push(await sha256(pixels, new Uint8Array(labels.buffer)));
  }
  assertEquals(hashes, [
    "a1b92d4ddf9331663605e7710bac25bca12b394cf31dc06fb4e20cf7a2571a92",
    "b0a25e67bd5363eb0fd25b6463fe2176a392138d8ea28d20df40efc180958f1d",
  ]);
});

Deno.test("mnist has no digit in both splits", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.path);
  const splits = [await registry.load("mnist", "train"), await registry.load("mnist", "test")];
  const seen = new Set<string>();
  for (const split of splits) {
    for (let i = 0; i < split.count; i++) seen.add(image(split, i).toBase64());
  }
  // The package holds no image twice.
  assertEquals(seen.size, 10_000);
});

Deno.test("mnist gives the package's numbers as bytes", async () => {
  await using folder = await TemporaryFolder.create();
  const train = await new DatasetRegistry(folder.path).load("mnist", "train");
  const { data } = JSON.parse(await Deno.readTextFile(new URL(import.meta.resolve("mnist/src/digits/7.json"))));
  const first = image(train, train.labels.indexOf(7));
  assert(first.some((value) => value > 200));
  for (let i = 0; i < IMAGE; i++) assertAlmostEquals(first[i] / 255, data[i], 0.0006);
});
