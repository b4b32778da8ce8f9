import { assertEquals, assertRejects } from "@std/assert";
import sharp from "sharp";
import { DatasetRegistry, UnknownDatasetError } from "../../src/data/mod.ts";
import { png, TemporaryFolder } from "./fixtures.ts";

/** Cats are shades of red, 8 of them; dogs 2 of blue. */
async function writePets(folder: TemporaryFolder): Promise<string> {
  for (let i = 0; i < 8; i++) {
    await folder.write(`source/train/cat/${i}.png`, await png({ width: 40, height: 20 }, `rgb(${100 + i}, 0, 0)`));
  }
  for (let i = 0; i < 2; i++) {
    await folder.write(`source/train/dog/${i}.png`, await png({ width: 20, height: 40 }, `rgb(0, 0, ${100 + i})`));
  }
  for (const name of ["cat", "dog"]) {
    await folder.write(`source/test/${name}/0.png`, await png({ width: 8, height: 8 }, "white"));
  }
  return folder.join("source");
}

async function picture(bytes: Uint8Array) {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  return { size: [info.width, info.height], color: [...data.subarray(0, 3)] };
}

for (const streamed of [false, true]) {
  Deno.test(`sample() spreads over the images of each class of a ${streamed ? "streamed" : "packed"} set`, async () => {
    await using folder = await TemporaryFolder.create();
    const registry = new DatasetRegistry(folder.join("data"));
    const { name } = await registry.import("pets", await writePets(folder), { streamed, height: 32, width: 32 });
    const options = { split: "train", perClass: 4, maxClasses: 10, maxSide: 16 } as const;
    const { classCounts, bytes, images, description } = await registry.sample(name, options);
    assertEquals(description.name, "pets");
    assertEquals(classCounts, { train: [8, 2], test: [1, 1] });
    assertEquals(images.map(({ label }) => label), [0, 0, 0, 0, 1, 1]);
    const shown = await Promise.all(images.map(({ png }) => picture(png)));
    const shades = shown.map(({ color }) => Math.max(...color));
    assertEquals(shades, [100, 102, 104, 106, 100, 101]);
    // Files keep their proportions, pixels have been made square by the import.
    assertEquals([shown[0].size, shown[4].size], streamed ? [[16, 8], [8, 16]] : [[16, 16], [16, 16]]);
    const files = await Array.fromAsync(Deno.readDir(folder.join("data", "datasets", "pets")));
    const sizes = files.filter(({ name }) => name !== "description.json")
      .map(({ name }) => Deno.statSync(folder.join("data", "datasets", "pets", name)).size);
    assertEquals(bytes, sizes.reduce((sum, size) => sum + size, 0));
  });
}

Deno.test("sample() of the first classes, of the test split, of none", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.join("data"));
  const labels = async (options: { perClass: number; maxClasses: number }) => {
    const { images } = await registry.sample("mnist", { split: "test", maxSide: 28, ...options });
    return images.map(({ label }) => label);
  };
  assertEquals(await labels({ perClass: 2, maxClasses: 3 }), [0, 0, 1, 1, 2, 2]);
  assertEquals(await labels({ perClass: 0, maxClasses: 3 }), []);
  await assertRejects(
    () => registry.sample("cifar", { split: "test", perClass: 1, maxClasses: 1, maxSide: 8 }),
    UnknownDatasetError,
  );
});
