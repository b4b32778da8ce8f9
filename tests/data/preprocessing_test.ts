import { assert, assertEquals, assertRejects } from "@std/assert";
import sharp from "sharp";
import { decodeKnownImage } from "../../src/data/images/decode.ts";
import { frameOf } from "../../src/data/images/preprocessing.ts";
import { CENTER_CROP, decodeImage, ImageError, STRETCH } from "../../src/data/mod.ts";
import { png, rawPng } from "./fixtures.ts";

const INPUT = { height: 224, width: 224, channels: 3 } as const;

Deno.test("frameOf() scales the shorter side to 256 and cuts 224 out of the middle, as torchvision does", () => {
  // Resize(256) and CenterCrop(224): the long side truncated, offsets rounded half to even.
  const cases = [
    [{ height: 375, width: 500 }, { scaled: { height: 256, width: 341 }, top: 16, left: 58 }],
    [{ height: 500, width: 375 }, { scaled: { height: 341, width: 256 }, top: 58, left: 16 }],
    [{ height: 64, width: 64 }, { scaled: { height: 256, width: 256 }, top: 16, left: 16 }],
    [{ height: 333, width: 500 }, { scaled: { height: 256, width: 384 }, top: 16, left: 80 }],
    [{ height: 100, width: 3000 }, { scaled: { height: 256, width: 7680 }, top: 16, left: 3728 }],
    [{ height: 256, width: 259 }, { scaled: { height: 256, width: 259 }, top: 16, left: 18 }],
  ] as const;
  for (const [image, frame] of cases) assertEquals(frameOf(CENTER_CROP, image, INPUT), frame);
});

Deno.test("frameOf() covers inputs of any proportions and lies within what it scales", () => {
  for (const input of [{ height: 8, width: 8 }, { height: 32, width: 17 }, { height: 5, width: 40 }]) {
    for (const image of [{ height: 1, width: 1 }, { height: 7, width: 90 }, { height: 640, width: 480 }]) {
      for (const preprocessing of [CENTER_CROP, STRETCH, { method: "center_crop", ratio: 1 }] as const) {
        const { scaled, top, left } = frameOf(preprocessing, image, input);
        assert(top >= 0 && top + input.height <= scaled.height, JSON.stringify({ input, image, scaled, top }));
        assert(left >= 0 && left + input.width <= scaled.width, JSON.stringify({ input, image, scaled, left }));
      }
    }
  }
});

/** 60 x 40 of colours that tell where a pixel is. */
function sloped(x: number, y: number): [number, number, number] {
  return [x * 4, y * 6, 100];
}

async function slopedPng(): Promise<Uint8Array> {
  const pixels = Array.from({ length: 40 * 60 }, (_, i) => sloped(i % 60, Math.floor(i / 60))).flat();
  return await rawPng(pixels, { width: 60, height: 40, channels: 3 });
}

Deno.test("decodeImage() cuts out the centre with the proportions kept", async () => {
  // The shorter side is 40 already: nothing is scaled, so no value changes.
  const target = { height: 35, width: 35, channels: 3 } as const;
  const decoded = await decodeImage(await slopedPng(), target, CENTER_CROP);
  const at = (x: number, y: number) => Array.from(decoded.subarray((y * 35 + x) * 3, (y * 35 + x) * 3 + 3));
  // Offsets of 2.5 and 12.5, rounded half to even.
  assertEquals(at(0, 0), sloped(12, 2));
  assertEquals(at(34, 34), sloped(46, 36));
});

Deno.test("decodeKnownImage() gives the pixels of a part, as the image is seen", async () => {
  const seen = await slopedPng();
  // Stored turned counter-clockwise, so that orientation 6 shows it upright.
  const { data, info } = await sharp(seen).rotate(-90).raw().toBuffer({ resolveWithObject: true });
  const raw = { width: info.width, height: info.height, channels: 3 } as const;
  const turned = new Uint8Array(await sharp(data, { raw }).withMetadata({ orientation: 6 }).png().toBuffer());
  const region = { top: 10, left: 21, height: 8, width: 16 };
  const expected = Array.from({ length: 8 * 16 }, (_, i) => sloped(21 + i % 16, 10 + Math.floor(i / 16))).flat();
  for (const file of [seen, turned]) {
    const target = { height: 8, width: 16, channels: 3 } as const;
    const part = await decodeKnownImage(file, { height: 40, width: 60 }, { target, view: region });
    assertEquals(Array.from(part), expected);
  }
  for (const view of [CENTER_CROP, STRETCH]) {
    const target = { height: 35, width: 35, channels: 3 } as const;
    const known = await decodeKnownImage(turned, { height: 40, width: 60 }, { target, view });
    assertEquals(known, await decodeImage(seen, target, view));
    assertEquals(await decodeImage(turned, target, view), known);
  }
});

Deno.test("decodeKnownImage() scales a part as the whole is scaled", async () => {
  const file = await slopedPng();
  const target = { height: 10, width: 10, channels: 3 } as const;
  const cut = await sharp(file).extract({ top: 4, left: 8, height: 30, width: 40 }).png().toBuffer();
  const part = await decodeKnownImage(file, { height: 40, width: 60 }, {
    target,
    view: { top: 4, left: 8, height: 30, width: 40 },
  });
  assertEquals(part, await decodeImage(new Uint8Array(cut), target));
});

Deno.test("decodeImage() of a large JPEG's centre is near to decoding all of it", async () => {
  const noise = { type: "gaussian", mean: 128, sigma: 50 } as const;
  const rough = await sharp({ create: { width: 400, height: 300, channels: 3, background: "grey", noise } }).png()
    .toBuffer();
  const jpeg = await sharp(rough).resize(1600, 1200).jpeg({ quality: 92 }).toBuffer();
  const png = await sharp(jpeg).png({ compressionLevel: 1 }).toBuffer();
  const [fromJpeg, fromPng] = await Promise.all([jpeg, png].map((file) => decodeImage(file, INPUT, CENTER_CROP)));
  const difference = fromJpeg.reduce((sum, value, i) => sum + Math.abs(value - fromPng[i]), 0) / fromJpeg.length;
  assert(difference < 2, `${difference}`);
  assertEquals(await decodeImage(jpeg, INPUT, CENTER_CROP), fromJpeg);
});

Deno.test("decodeImage() cuts the centre of images as thin as are accepted", async () => {
  for (const [width, height] of [[16384, 1], [1, 16384], [1, 1]]) {
    const file = await png({ width, height }, "#ff0000");
    const decoded = await decodeImage(file, INPUT, CENTER_CROP);
    assertEquals([decoded.length, decoded[0], decoded[1]], [224 * 224 * 3, 255, 0]);
  }
});

Deno.test("decodeImage() cuts the centre of grey, palette, 16-bit, CMYK and transparent files", async () => {
  const target = { height: 28, width: 28, channels: 3 } as const;
  const blue = sharp({ create: { width: 48, height: 32, channels: 3, background: "#0000ff" } });
  const files = {
    palette: await blue.clone().png({ palette: true }).toBuffer(),
    deep: await blue.clone().toColourspace("rgb16").png().toBuffer(),
    webp: await blue.clone().webp({ lossless: true }).toBuffer(),
    transparent: await blue.clone().ensureAlpha(1).png().toBuffer(),
  };
  for (const [name, file] of Object.entries(files)) {
    const decoded = await decodeImage(file, target, CENTER_CROP);
    assertEquals(decoded.length, 28 * 28 * 3);
    assert(decoded[0] < 3 && decoded[1] < 3 && decoded[2] > 252, name);
  }
  const grey = await rawPng(Array(48 * 32).fill(90), { width: 48, height: 32, channels: 1 });
  assertEquals(Array.from((await decodeImage(grey, target, CENTER_CROP)).subarray(0, 3)), [90, 90, 90]);
  const single = { ...target, channels: 1 } as const;
  assertEquals((await decodeImage(grey, single, CENTER_CROP))[0], 90);
  const white = sharp({ create: { width: 48, height: 32, channels: 3, background: "#ffffff" } });
  const cmyk = await white.toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer();
  assertEquals((await sharp(cmyk).metadata()).space, "cmyk");
  assert((await decodeImage(cmyk, target, CENTER_CROP)).every((value) => value > 250));
});

Deno.test("decodeImage() tells a file that ends or is damaged below what the centre crop takes", async () => {
  const target = { height: 32, width: 32, channels: 3 } as const;
  const decode = (file: Uint8Array) => decodeImage(file, target, CENTER_CROP);
  for (const extent of [{ height: 400, width: 60 }, { height: 300, width: 400 }, { height: 20, width: 700 }]) {
    const pixels = Array.from({ length: extent.height * extent.width * 3 }, (_, i) => (i * 7919) % 251);
    const image = sharp(await rawPng(pixels, { ...extent, channels: 3 }));
    for (const progressive of [false, true]) {
      const jpeg = new Uint8Array(await image.clone().jpeg({ progressive }).toBuffer());
      assertEquals(await decode(jpeg), await decodeKnownImage(jpeg, extent, { target, view: CENTER_CROP }));
      for (const share of [0.98, 0.8]) {
        const cut = jpeg.subarray(0, Math.floor(jpeg.length * share));
        await assertRejects(() => decode(cut), ImageError, "Image is truncated: the file ends before the image does");
      }
    }
    const png = new Uint8Array(await image.clone().png().toBuffer());
    assertEquals(await decode(png), await decodeKnownImage(png, extent, { target, view: CENTER_CROP }));
    png.fill(0x55, Math.floor(png.length * 0.97), Math.floor(png.length * 0.97) + 20);
    await assertRejects(() => decode(png), ImageError);
  }
});
