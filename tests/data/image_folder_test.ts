import { assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import sharp from "sharp";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import { fileNames, jpeg, png, TemporaryFolder, writeImageFolder } from "./fixtures.ts";

const SIZE = { height: 4, width: 4, channels: 3 } as const;

async function importFailure(folder: TemporaryFolder, source: string): Promise<string> {
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("pets", source, SIZE), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  return error.message;
}

Deno.test("import() packs an image folder: classes by name, spread evenly, scaled, with its own mean", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  const registry = new DatasetRegistry(folder.join("data"));
  const progress: number[][] = [];
  const pets = await registry.import("pets", source, { ...SIZE, onProgress: (...counts) => progress.push(counts) });

  assertEquals(progress, [[6, 8], [8, 8]]);
  assertEquals([pets.height, pets.width, pets.channels], [4, 4, 3]);
  assertEquals(pets.classNames, ["cat", "dog"]);
  assertEquals(pets.images, { train: 6, test: 2 });
  assertEquals([pets.cropPadding, pets.horizontalFlip], [1, true]);
  // Half the images are all red, half all blue; no green, whose deviation is put at one byte step.
  [0.5, 0, 0.5].forEach((mean, channel) => assertAlmostEquals(pets.mean[channel], mean));
  [0.5, 1 / 255, 0.5].forEach((deviation, channel) => assertAlmostEquals(pets.standardDeviation[channel], deviation));
  assertEquals(pets.description, "Image folder of 2 classes, scaled to 4x4x3: 6 to train, 2 to test");

  const train = await registry.load("pets", "train");
  assertEquals(Array.from(train.labels), [0, 1, 0, 1, 0, 1]);
  assertEquals(Array.from(train.pixels.subarray(0, 3)), [255, 0, 0]);
  assertEquals(Array.from(train.pixels.subarray(48, 51)), [0, 0, 255]);
});

Deno.test("import() takes JPEG, PNG and WebP under any case of their names, and val for test", async () => {
  await using folder = await TemporaryFolder.create();
  const photograph = await jpeg({ width: 40, height: 30 });
  const drawing = await png({ width: 9, height: 9 }, "green");
  for (const [i, name] of ["a.jpg", "b.JPEG", "c.Png"].entries()) {
    for (const label of ["x", "y"]) await folder.write(`set/train/${label}/${name}`, i < 2 ? photograph : drawing);
  }
  for (const label of ["x", "y"]) await folder.write(`set/val/${label}/a.png`, drawing);
  await folder.write("set/train/x/d.webp", new Uint8Array(await sharp(photograph).webp().toBuffer()));
  await folder.write("set/test/unlabelled.jpg", photograph);
  await folder.write("set/train/x/.hidden.jpg", "not looked at");
  const registry = new DatasetRegistry(folder.join("data"));
  const { images, description } = await registry.import("set", folder.join("set"));
  assertEquals(images, { train: 7, test: 2 });
  assertEquals(description, "Image folder of 2 classes, scaled to 32x32x3: 7 to train, 2 to test");
});

Deno.test("import() scales to grey where asked, without mirroring", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  const registry = new DatasetRegistry(folder.join("data"));
  const grey = await registry.import("grey", source, { height: 16, width: 8, channels: 1 });
  assertEquals([grey.height, grey.width, grey.channels], [16, 8, 1]);
  assertEquals([grey.cropPadding, grey.horizontalFlip], [1, false]);
  assertEquals((await registry.load("grey", "test")).pixels.length, 2 * 16 * 8);
});

Deno.test("import() orders classes and images by code points", async () => {
  await using folder = await TemporaryFolder.create();
  // In UTF-16 the emoji (0x1f600) would come before the private character (0xe000).
  for (const name of ["b", "B", "10", "9", "\u{1f600}", "\ue000"]) {
    for (const split of ["train", "test"]) {
      await folder.write(`set/${split}/${name}/2.png`, await png({ width: 4, height: 4 }, "white"));
      await folder.write(`set/${split}/${name}/10.png`, await png({ width: 4, height: 4 }, "black"));
    }
  }
  const registry = new DatasetRegistry(folder.join("data"));
  const { classNames } = await registry.import("set", folder.join("set"), SIZE);
  assertEquals(classNames, ["10", "9", "B", "b", "\ue000", "\u{1f600}"]);
  const { pixels } = await registry.load("set", "train");
  const firstOfEach = Array.from({ length: 12 }, (_, i) => pixels[i * 48]);
  assertEquals(firstOfEach, [0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255]);
});

Deno.test("import() leaves out files it cannot decode, and says which", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  const photograph = await jpeg({ width: 40, height: 30 });
  await folder.write("pets/train/cat/cut.jpg", photograph.subarray(0, 900));
  await folder.write("pets/train/cat/fake.png", "hello");
  await folder.write("pets/train/dog/readme.txt", "hello");
  await folder.write("pets/test/dog/wide.png", await png({ width: 20_000, height: 1 }, "white"));
  const registry = new DatasetRegistry(folder.join("data"));
  const { images, description } = await registry.import("pets", source, SIZE);
  assertEquals(images, { train: 6, test: 2 });
  assertEquals((await registry.load("pets", "train")).count, 6);
  assertEquals(
    description,
    "Image folder of 2 classes, scaled to 4x4x3: 6 to train, 2 to test; 4 files were left out: " +
      "train/dog/readme.txt (not named .jpg, .jpeg, .png or .webp), " +
      "train/cat/cut.jpg (is truncated: the file ends before the image does), " +
      "train/cat/fake.png (is of an unknown type: only PNG, JPEG and WebP are accepted), " +
      "test/dog/wide.png (is 20000 pixels wide and 1 high: at most 16384 a side and 67108864 in all are accepted)",
  );
});

Deno.test("import() takes a list of classes: which and in which order", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  await folder.write("pets/train/emu/0.png", await png({ width: 4, height: 4 }, "white"));
  const registry = new DatasetRegistry(folder.join("data"));
  const pets = await registry.import("pets", source, { ...SIZE, classNames: ["dog", "cat"] });
  assertEquals(pets.classNames, ["dog", "cat"]);
  assertStringIncludes(pets.description, "1 file was left out: train/emu (not in the class list)");
  const { pixels } = await registry.load("pets", "train");
  assertEquals(Array.from(pixels.subarray(0, 3)), [0, 0, 255]);
  const cases: [string[], string][] = [
    [["cat", "yak"], 'Cannot find the class "yak" of the class list: there are cat, dog, emu'],
    [["cat", "cat"], 'Cannot import as "more": the class list has "cat" twice'],
  ];
  for (const [classNames, message] of cases) {
    const failed = await assertRejects(() => registry.import("more", source, { ...SIZE, classNames }), DatasetError);
    assertEquals(failed.message, message);
  }
});

Deno.test("import() refuses a folder where a class ends empty", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  await Deno.mkdir(folder.join("pets/train/emu"));
  await Deno.mkdir(folder.join("pets/test/emu"));
  assertEquals(await importFailure(folder, source), 'Class "emu" has no image to train');

  for (let i = 0; i < 7; i++) await folder.write(`pets/train/emu/${i}.jpg`, "hello");
  await folder.write("pets/test/emu/0.png", await png({ width: 4, height: 4 }, "white"));
  const reason = "is of an unknown type: only PNG, JPEG and WebP are accepted";
  const examples = [0, 1, 2, 3, 4].map((i) => `train/emu/${i}.jpg (${reason})`).join(", ");
  assertEquals(
    await importFailure(folder, source),
    `Class "emu" has no image to train: 7 files were left out: ${examples}, and 2 more`,
  );
});

Deno.test("import() refuses folders whose splits are missing or differ", async () => {
  await using folder = await TemporaryFolder.create();
  const image = await png({ width: 4, height: 4 }, "white");
  const layout = "must be laid out as train/<class>/<image> and test/<class>/<image>";
  await folder.write("no-test/train/cat/0.png", image);
  assertEquals(
    await importFailure(folder, folder.join("no-test")),
    `Image folder has no folder a class in test or val: ${layout}`,
  );
  await folder.write("flat/train/0.png", image);
  assertEquals(
    await importFailure(folder, folder.join("flat")),
    `Image folder has no folder a class in train: ${layout}`,
  );
  await folder.write("differ/train/cat/0.png", image);
  await folder.write("differ/train/dog/0.png", image);
  await folder.write("differ/test/cat/0.png", image);
  assertEquals(
    await importFailure(folder, folder.join("differ")),
    'Image folder has the class "dog" in train only',
  );
  await folder.write("single/train/cat/0.png", image);
  await folder.write("single/test/cat/0.png", image);
  assertEquals(
    await importFailure(folder, folder.join("single")),
    "Image folder has one class: at least 2 are needed",
  );
  await folder.write("classes/cat/0.png", image);
  assertEquals(
    await importFailure(folder, folder.join("classes")),
    "Cannot tell what the folder holds: must have train/<class>/<image> and test/<class>/<image>, " +
      "or be one of cifar-10-batches-bin, cifar-100-binary, or have train.zip and test.zip, train*.tar and test*.tar, " +
      "train*.parquet and test*.parquet, or MNIST's idx files",
  );
});

Deno.test("import() follows symbolic links within the folder and refuses those that lead out", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  await Deno.symlink(folder.join("pets/train/cat/0.png"), folder.join("pets/train/cat/linked.png"));
  const registry = new DatasetRegistry(folder.join("other-data"));
  assertEquals((await registry.import("inside", source, SIZE)).images.train, 7);

  await folder.write("pets-too/secret.png", await png({ width: 4, height: 4 }, "white"));
  await Deno.symlink(folder.join("pets-too/secret.png"), folder.join("pets/train/dog/secret.png"));
  const message = "the symbolic link leads out of the imported folder";
  assertEquals(await importFailure(folder, source), `Cannot import train/dog/secret.png: ${message}`);

  await Deno.remove(folder.join("pets/train/dog/secret.png"));
  await Deno.symlink(folder.join("pets-too"), folder.join("pets/train/emu"));
  assertEquals(await importFailure(folder, source), `Cannot import train/emu: ${message}`);

  await Deno.remove(folder.join("pets/train/emu"));
  await Deno.symlink("nowhere", folder.join("pets/train/dog/dangling.png"));
  assertEquals(await importFailure(folder, source), "Cannot read train/dog/dangling.png: it does not exist");
});

Deno.test("import() of the shared CIFAR-10 images gives ten equal classes", async (t) => {
  const archive = new URL("../../../shared/data/cifar10/test.zip", import.meta.url);
  const found = await Deno.stat(archive).then(() => true, () => false);
  if (!found) {
    await t.step({
      name: "skipped: the shared folder of real images is not beside this checkout",
      ignore: true,
      fn() {},
    });
    return;
  }
  await using folder = await TemporaryFolder.create();
  const extract = async (split: string, limit: number) => {
    // Any prefix of the archive is balanced; a few images a class will do.
    const list = await new Deno.Command("unzip", { args: ["-Z1", archive.pathname] }).output();
    const images = new TextDecoder().decode(list.stdout).split("\n").filter((name) => name.endsWith(".jpg"));
    const args = ["-q", archive.pathname, ...images.slice(0, limit), "-d", folder.join("unpacked")];
    assertEquals((await new Deno.Command("unzip", { args }).output()).code, 0);
    await Deno.mkdir(folder.join("cifar"), { recursive: true });
    await Deno.rename(folder.join("unpacked", "test"), folder.join("cifar", split));
  };
  await extract("train", 200);
  await extract("test", 50);
  const registry = new DatasetRegistry(folder.join("data"));
  const { images, classNames, mean, description } = await registry.import("cifar", folder.join("cifar"));
  assertEquals(images, { train: 200, test: 50 });
  assertEquals([classNames.length, classNames[0], classNames[9]], [10, "airplane", "truck"]);
  assertStringIncludes(description, "Image folder of 10 classes, scaled to 32x32x3: 200 to train, 50 to test");
  [0.4914, 0.4822, 0.4465].forEach((expected, channel) => assertAlmostEquals(mean[channel], expected, 0.05));
  const { labels } = await registry.load("cifar", "test");
  assertEquals(Array.from(labels.subarray(0, 10)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
