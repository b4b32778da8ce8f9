import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { RANDOM_RESIZED_CROP, randomRegion } from "../../src/data/mod.ts";

const PHOTOGRAPH = { height: 375, width: 500 };
const DRAWS = 20_000;

function regions(image: { height: number; width: number }, crop = RANDOM_RESIZED_CROP, count = DRAWS) {
  return Array.from({ length: count }, (_, example) => randomRegion(image, crop, { seed: 7, epoch: 3, example }));
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

Deno.test("randomRegion() lies within the image, whatever its proportions", () => {
  for (const image of [PHOTOGRAPH, { height: 500, width: 20 }, { height: 1, width: 1 }, { height: 3, width: 2000 }]) {
    for (const { top, left, height, width } of regions(image, RANDOM_RESIZED_CROP, 500)) {
      assert(height >= 1 && width >= 1 && top >= 0 && left >= 0, JSON.stringify({ top, left, height, width }));
      assert(top + height <= image.height && left + width <= image.width, JSON.stringify({ top, left, height, width }));
    }
  }
});

Deno.test("randomRegion() draws areas, proportions and places evenly, as far as they fit", () => {
  // Small enough that the first try always fits.
  const found = regions(PHOTOGRAPH, { ...RANDOM_RESIZED_CROP, maxScale: 0.5 });
  const area = PHOTOGRAPH.height * PHOTOGRAPH.width;
  const shares = found.map(({ height, width }) => height * width / area);
  assertAlmostEquals(mean(shares), 0.29, 0.003);
  assert(Math.min(...shares) > 0.078 && Math.min(...shares) < 0.082);
  assert(Math.max(...shares) > 0.498 && Math.max(...shares) < 0.502);
  const ratios = found.map(({ height, width }) => Math.log(width / height));
  assertAlmostEquals(mean(ratios), 0, 0.003);
  assertAlmostEquals(Math.max(...ratios), Math.log(4 / 3), 0.02);
  assertAlmostEquals(Math.min(...ratios), Math.log(3 / 4), 0.02);
  assertAlmostEquals(mean(found.map(({ top, height }) => top / (PHOTOGRAPH.height - height))), 0.5, 0.01);
  assertAlmostEquals(mean(found.map(({ left, width }) => left / (PHOTOGRAPH.width - width))), 0.5, 0.01);
});

Deno.test("randomRegion() takes the centre where nothing fits: the largest part of allowed proportions", () => {
  const [wide] = regions({ height: 30, width: 3000 }, RANDOM_RESIZED_CROP, 1);
  assertEquals(wide, { top: 0, left: 1480, height: 30, width: 40 });
  const [high] = regions({ height: 3000, width: 30 }, RANDOM_RESIZED_CROP, 1);
  assertEquals(high, { top: 1480, left: 0, height: 40, width: 30 });
  const whole = { minScale: 1, maxScale: 1, minRatio: 0.5, maxRatio: 0.5 };
  assertEquals(regions({ height: 20, width: 20 }, whole, 1), [{ top: 0, left: 5, height: 20, width: 10 }]);
});

Deno.test("randomRegion() depends on seed, epoch and example, each", () => {
  const draw = (seed: number, epoch: number, example: number) =>
    JSON.stringify(randomRegion(PHOTOGRAPH, RANDOM_RESIZED_CROP, { seed, epoch, example }));
  assertEquals(draw(1, 2, 3), draw(1, 2, 3));
  assertEquals(new Set([draw(1, 2, 3), draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4)]).size, 4);
  assertEquals(
    randomRegion(PHOTOGRAPH, RANDOM_RESIZED_CROP, { seed: 1, epoch: 0, example: 0 }),
    randomRegion(PHOTOGRAPH, RANDOM_RESIZED_CROP, { seed: 1 + 2 ** 32, epoch: 0, example: 0 }),
  );
});
