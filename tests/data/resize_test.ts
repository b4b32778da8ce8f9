import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { decodeImage, ImageError, resizePixels } from "../../src/data/mod.ts";
import { rawPng } from "./fixtures.ts";

Deno.test("resizePixels() changes no value where the size is right", async () => {
  const pixels = Uint8Array.from({ length: 12 }, (_, i) => i * 20);
  const size = { height: 2, width: 2, channels: 3 } as const;
  const same = await resizePixels(pixels, size, { target: size });
  assertEquals(same, pixels);
  same[0] = 99; // A copy.
  assertEquals(pixels[0], 0);
  const grey = { height: 2, width: 1, channels: 1 } as const;
  const color = { height: 2, width: 1, channels: 3 } as const;
  assertEquals(await resizePixels(Uint8Array.of(7, 8), grey, { target: color }), Uint8Array.of(7, 7, 7, 8, 8, 8));
  assertEquals(await resizePixels(Uint8Array.of(255, 0, 0, 9, 9, 9), color, { target: grey }), Uint8Array.of(76, 9));
});

Deno.test("resizePixels() scales as decodeImage() does", async () => {
  for (const channels of [1, 3] as const) {
    const pixels = Array.from({ length: 20 * 30 * channels }, (_, i) => i * i % 256);
    const file = await rawPng(pixels, { width: 30, height: 20, channels });
    for (const target of [{ height: 7, width: 9, channels }, { height: 50, width: 40, channels: 3 }] as const) {
      const scaled = await resizePixels(Uint8Array.from(pixels), { height: 20, width: 30, channels }, { target });
      const decoded = await decodeImage(file, target);
      scaled.forEach((value, i) => assertAlmostEquals(value, decoded[i], 1));
    }
  }
});

Deno.test("resizePixels() takes several images, each by itself, from any place of a buffer", async () => {
  const buffer = new Uint8Array(1 + 3 * 16);
  [10, 20, 30].forEach((value, i) => buffer.fill(value, 1 + i * 16, 17 + i * 16));
  const from = { height: 4, width: 4, channels: 1 } as const;
  const result = await resizePixels(buffer.subarray(1), from, { target: { height: 2, width: 1, channels: 1 } });
  assertEquals(result, Uint8Array.of(10, 10, 20, 20, 30, 30));
});

Deno.test("resizePixels() refuses bytes that are no images of the size", async () => {
  const target = { height: 8, width: 8, channels: 1 } as const;
  const fail = async (bytes: number, height: number, width: number, channels: number) => {
    const from = { height, width, channels: channels as 1 | 3 };
    return (await assertRejects(() => resizePixels(new Uint8Array(bytes), from, { target }), ImageError)).message;
  };
  assertEquals(await fail(47, 4, 4, 3), "Raw image has 47 bytes: 4x4x3 needs 48");
  assertEquals(await fail(0, 4, 4, 3), "Raw image has 0 bytes: 4x4x3 needs 48");
  assertEquals(await fail(32, 4, 4, 2), "Raw image of 4x4x2: must be of at least 1x1 pixels with 1 or 3 channels");
  assertEquals(await fail(0, 0, 4, 1), "Raw image of 0x4x1: must be of at least 1x1 pixels with 1 or 3 channels");
  assertEquals(
    await fail(1, 1, 20_000, 1),
    "Image is 20000 pixels wide and 1 high: at most 16384 a side and 67108864 in all are accepted",
  );
});
