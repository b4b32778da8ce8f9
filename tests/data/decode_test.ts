import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import sharp from "sharp";
import { decodeImage, ImageError } from "../../src/data/mod.ts";
import { jpeg, png, rawPng } from "./fixtures.ts";

const RGB = (side: number) => ({ height: side, width: side, channels: 3 } as const);
const GREY = (side: number) => ({ height: side, width: side, channels: 1 } as const);

async function decode(bytes: Uint8Array, target: { height: number; width: number; channels: 1 | 3 }) {
  return Array.from(await decodeImage(bytes, target));
}

async function failure(bytes: Uint8Array, target: { height: number; width: number; channels: 1 | 3 } = RGB(8)) {
  return (await assertRejects(() => decodeImage(bytes, target), ImageError)).message;
}

Deno.test("decodeImage() gives a PNG of the target's size as it is", async () => {
  const pixels = Array.from({ length: 2 * 3 * 3 }, (_, i) => i * 13);
  const bytes = await rawPng(pixels, { width: 3, height: 2, channels: 3 });
  assertEquals(await decode(bytes, { height: 2, width: 3, channels: 3 }), pixels);
});

Deno.test("decodeImage() repeats grey into three channels and keeps it in one", async () => {
  const bytes = await rawPng([0, 80, 160, 255], { width: 2, height: 2, channels: 1 });
  assertEquals(await decode(bytes, RGB(2)), [0, 0, 0, 80, 80, 80, 160, 160, 160, 255, 255, 255]);
  assertEquals(await decode(bytes, GREY(2)), [0, 80, 160, 255]);
});

Deno.test("decodeImage() turns colour into luma", async () => {
  const bytes = await rawPng([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255], { width: 2, height: 2, channels: 3 });
  // 0.299, 0.587 and 0.114 of 255.
  assertEquals(await decode(bytes, GREY(2)), [76, 150, 29, 255]);
});

Deno.test("decodeImage() shows transparent parts white", async () => {
  const bytes = await rawPng([200, 0, 0, 255, 200, 0, 0, 0], { width: 2, height: 1, channels: 4 });
  assertEquals(await decode(bytes, { height: 1, width: 2, channels: 3 }), [200, 0, 0, 255, 255, 255]);
  const grey = await rawPng([40, 255, 40, 0], { width: 2, height: 1, channels: 2 });
  assertEquals(await decode(grey, { height: 1, width: 2, channels: 1 }), [40, 255]);
});

Deno.test("decodeImage() takes palette, 16-bit, CMYK, progressive and WebP files", async () => {
  const blue = sharp({ create: { width: 4, height: 4, channels: 3, background: "#0000ff" } });
  const files = {
    palette: await blue.clone().png({ palette: true }).toBuffer(),
    deep: await blue.clone().toColourspace("rgb16").png().toBuffer(),
    webp: await blue.clone().webp({ lossless: true }).toBuffer(),
    progressive: await blue.clone().jpeg({ progressive: true, quality: 100, chromaSubsampling: "4:4:4" }).toBuffer(),
  };
  for (const [name, file] of Object.entries(files)) {
    const [red, green, blue] = await decode(file, RGB(1));
    assert(red < 3 && green < 3 && blue > 252, `${name}: ${red} ${green} ${blue}`);
  }
  const white = sharp({ create: { width: 4, height: 4, channels: 3, background: "#ffffff" } });
  const cmyk = await white.toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer();
  assertEquals((await sharp(cmyk).metadata()).space, "cmyk");
  for (const value of await decode(cmyk, RGB(1))) assert(value > 250);
  const deepGrey = await sharp(Uint16Array.from([0, 0x8080, 0xffff, 0]), { raw: { width: 2, height: 2, channels: 1 } })
    .toColourspace("grey16").png().toBuffer();
  assertEquals(await decode(deepGrey, GREY(2)), [0, 128, 255, 0]);
});

Deno.test("decodeImage() applies the EXIF orientation", async () => {
  // Left half dark, right half light; orientation 6 is turned clockwise to be seen: dark above.
  const pixels = Uint8Array.from({ length: 32 * 64 }, (_, i) => i % 64 < 32 ? 0 : 255);
  const file = await sharp(pixels, { raw: { width: 64, height: 32, channels: 1 } })
    .withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer();
  const [above, below] = await decode(file, { height: 2, width: 1, channels: 1 });
  // The interpolation takes an eighth from the other half.
  assertAlmostEquals(above, 32, 2);
  assertAlmostEquals(below, 223, 2);
});

Deno.test("decodeImage() fills the target whatever the proportions, averaging what it shrinks", async () => {
  // Columns 0, 100, 200, 100, ... : a mean of 100 everywhere.
  const pixels = Array.from({ length: 64 * 16 }, (_, i) => [0, 100, 200, 100][i % 4]);
  const bytes = await rawPng(pixels, { width: 64, height: 16, channels: 1 });
  const scaled = await decode(bytes, GREY(4));
  assertEquals(scaled.length, 16);
  for (const value of scaled) assertAlmostEquals(value, 100, 3);
});

Deno.test("decodeImage() scales a photograph near to its mean colour", async () => {
  for (const value of await decode(await jpeg({ width: 500, height: 375 }), RGB(2))) assertAlmostEquals(value, 128, 4);
});

Deno.test("decodeImage() refuses other types by their content", async () => {
  const ascii = (text: string) => new TextEncoder().encode(text);
  const accepted = "only PNG, JPEG and WebP are accepted";
  assertEquals(await failure(ascii("GIF89a......")), `Image looks like GIF: ${accepted}`);
  assertEquals(await failure(ascii("<svg xmlns='...'>")), `Image looks like SVG or XML: ${accepted}`);
  assertEquals(await failure(ascii("%PDF-1.7")), `Image looks like PDF: ${accepted}`);
  assertEquals(await failure(ascii("hello")), `Image is of an unknown type: ${accepted}`);
  assertEquals(await failure(new Uint8Array()), "Image is empty: must be a PNG, JPEG or WebP file");
  const tiff = await sharp({ create: { width: 2, height: 2, channels: 3, background: "red" } }).tiff().toBuffer();
  assertEquals(await failure(tiff), `Image looks like TIFF: ${accepted}`);
});

Deno.test("decodeImage() tells a truncated file wherever it was cut", async () => {
  const truncated = "Image is truncated: the file ends before the image does";
  const photograph = await jpeg({ width: 64, height: 48 });
  const drawing = await sharp(photograph).png().toBuffer();
  const web = await sharp(photograph).webp().toBuffer();
  for (const file of [photograph, drawing, web]) {
    for (const length of [12, 40, 300, file.length >> 1, file.length - 20, file.length - 4, file.length - 1]) {
      assertEquals(await failure(file.subarray(0, length)), truncated, `${length} of ${file.length} bytes`);
    }
  }
});

Deno.test("decodeImage() tells a damaged file", async () => {
  const image = await rawPng(Array.from({ length: 3072 }, (_, i) => i * i % 251), {
    width: 32,
    height: 32,
    channels: 3,
  });
  const damaged = image.slice();
  damaged.fill(0x55, 60, 400);
  assert((await failure(damaged)).startsWith("Image is damaged: "));
  const header = image.slice();
  header.fill(0, 16, 24); // No height, no width.
  assert((await failure(header)).startsWith("Image is damaged: "));
});

Deno.test("decodeImage() refuses an image 20,000 pixels wide from its header", async () => {
  const limits = "at most 16384 a side and 67108864 in all are accepted";
  const wide = await png({ width: 20_000, height: 1 }, "white");
  assertEquals(await failure(wide), `Image is 20000 pixels wide and 1 high: ${limits}`);
  // The header alone is looked at: what follows it is nonsense.
  const bomb = await png({ width: 16, height: 16 }, "white");
  const header = new DataView(bomb.buffer);
  header.setUint32(16, 16_000);
  header.setUint32(20, 16_000);
  header.setUint32(29, crc32(bomb.subarray(12, 29)));
  assertEquals(await failure(bomb), `Image is 16000 pixels wide and 16000 high: ${limits}`);
});

Deno.test("decodeImage() refuses files past the limit and targets that are none", async () => {
  const file = new Uint8Array(64 * 1024 * 1024 + 1);
  assertEquals(await failure(file), "Image file has 67108865 bytes: at most 67108864 are accepted");
  const image = await png({ width: 2, height: 2 }, "red");
  assertEquals(
    await failure(image, RGB(0)),
    "Cannot scale an image to 0x0x3: height is 0: must be a whole number from 1 to 2048",
  );
  assertEquals(
    await failure(image, { height: 8, width: 2049, channels: 3 }),
    "Cannot scale an image to 8x2049x3: width is 2049: must be a whole number from 1 to 2048",
  );
});

Deno.test("decodeImage() decodes many at once, each its own", async () => {
  const colors = Array.from({ length: 60 }, (_, i) => i * 4);
  const files = await Promise.all(
    colors.map((value) => rawPng(Array(100).fill(value), { width: 10, height: 10, channels: 1 })),
  );
  const decoded = await Promise.all(files.map((file) => decode(file, GREY(1))));
  assertEquals(decoded.flat(), colors);
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
