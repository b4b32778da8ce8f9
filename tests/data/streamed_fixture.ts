/** Streamed data sets of small pictures, each its own. */
import sharp from "sharp";
import { DatasetRegistry } from "../../src/data/mod.ts";
import type { TemporaryFolder } from "./fixtures.ts";

/** A JPEG of slopes, no two numbers alike. */
export async function picture(number: number, { width, height }: { width: number; height: number }) {
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      pixels.set([x * 5 + number * 17, y * 7 + number * 3, (x + y) * 2 + number * 29].map((v) => v & 127), at);
    }
  }
  return new Uint8Array(await sharp(pixels, { raw: { width, height, channels: 3 } }).jpeg({ quality: 95 }).toBuffer());
}

/** Size of picture `number`: no two the same shape. */
export function pictureSize(number: number) {
  return { width: 20 + number % 7 * 3, height: 16 + number % 5 * 4 };
}

/** <root>/<split>/<cat|dog>/<number>.jpg: `train` of each class to train, 2 of each to test. */
export async function writePictures(folder: TemporaryFolder, root: string, train: number): Promise<string> {
  let number = 0;
  for (const [split, count] of [["train", train], ["test", 2]] as const) {
    for (const name of ["cat", "dog"]) {
      for (let i = 0; i < count; i++, number++) {
        const file = await picture(number, pictureSize(number));
        await folder.write(`${root}/${split}/${name}/${String(i).padStart(4, "0")}.jpg`, file);
      }
    }
  }
  return folder.join(root);
}

/** Imports 2 * `train` pictures as the streamed data set "pictures". */
export async function withPictures(folder: TemporaryFolder, train: number, size = SIZE): Promise<DatasetRegistry> {
  const registry = new DatasetRegistry(folder.join("data"));
  const source = await writePictures(folder, "pictures", train);
  await registry.import("pictures", source, { ...size, streamed: true });
  return registry;
}

/** What the pictures are cropped to. */
export const SIZE = { height: 8, width: 8, channels: 3 } as const;
