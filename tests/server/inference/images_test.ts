import { assert, assertEquals, assertRejects } from "@std/assert";
import { CENTER_CROP, ImageError, STRETCH } from "../../../src/data/mod.ts";
import { networkInput, toInput, toNamedInput } from "../../../src/server/inference/images.ts";
import { rawPng } from "../../data/fixtures.ts";

/** 12 x 8: black but for a white square of 4 x 4 in the middle. */
const pixels = Array.from({ length: 8 * 12 }, (_, i) => {
  const [x, y] = [i % 12, Math.floor(i / 12)];
  return x >= 4 && x < 8 && y >= 2 && y < 6 ? 255 : 0;
});
const size = { height: 7, width: 7, channels: 1 } as const;

Deno.test("toInput() prepares files and pixels as the network's training did", async () => {
  const file = { kind: "encoded", bytes: await rawPng(pixels, { width: 12, height: 8, channels: 1 }) } as const;
  const raw = { kind: "raw", size: { height: 8, width: 12, channels: 1 }, pixels: Uint8Array.from(pixels) } as const;
  // 7 of 8 rows and 7 of 12 columns, offsets of 0.5 and 2.5 rounded half to even: the square lies at (2, 2).
  const cut = Array.from({ length: 49 }, (_, i) => {
    const [x, y] = [i % 7, Math.floor(i / 7)];
    return x >= 2 && x < 6 && y >= 2 && y < 6 ? 255 : 0;
  });
  for (const image of [file, raw]) {
    assertEquals(Array.from(await toInput(image, { size, preprocessing: CENTER_CROP })), cut);
    const stretched = await toInput(image, { size, preprocessing: STRETCH });
    assertEquals(stretched.length, 49);
    assert(stretched.join() !== cut.join());
  }
});

Deno.test("toInput() uses pixels of the network's own size as they are", async () => {
  const ready = Uint8Array.from({ length: 49 }, (_, i) => i);
  assertEquals(await toInput({ kind: "raw", size, pixels: ready }, { size, preprocessing: CENTER_CROP }), ready);
});

Deno.test("toNamedInput() names the image that cannot be used", async () => {
  const image = { kind: "encoded", bytes: new TextEncoder().encode("GIF89a......") } as const;
  await assertRejects(
    () => toNamedInput(image, { size, preprocessing: CENTER_CROP }, "images[3]"),
    ImageError,
    "images[3]: Image looks like GIF: only PNG, JPEG and WebP are accepted",
  );
});

Deno.test("networkInput() is what the checkpoint says", () => {
  const description = { model: { name: "lm-resnet-8" }, dataset: "photographs", ...size, classNames: ["a", "b"] };
  assertEquals(networkInput({ ...description, preprocessing: CENTER_CROP }), { size, preprocessing: CENTER_CROP });
});
