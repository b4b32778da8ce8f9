import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import {
  CIFAR10_NAMES,
  cifar10Files,
  cifarRecord,
  cifarValue,
  concatenate,
  fileNames,
  gzip,
  tar,
  tarMember,
  TemporaryFolder,
} from "./fixtures.ts";

async function writeCifar10(folder: TemporaryFolder, root: string, files: Record<string, Uint8Array | string>) {
  for (const [name, content] of Object.entries(files)) await folder.write(`${root}/${name}`, content);
  return folder.join(root);
}

/** The NHWC bytes of image i. */
function interleaved(i: number): number[] {
  const value = cifarValue(i);
  return Array.from({ length: 3072 }, (_, at) => value(at % 3, Math.floor(at / 3)));
}

/** Imports a CIFAR-10 folder with some files exchanged (undefined: left out); it has to fail. */
async function importBroken(changes: Record<string, Uint8Array | string | undefined>): Promise<string> {
  await using folder = await TemporaryFolder.create();
  const files = Object.entries({ ...cifar10Files(), ...changes }).filter(([, content]) => content !== undefined);
  const source = await writeCifar10(folder, "source", Object.fromEntries(files) as Record<string, Uint8Array>);
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("cifar10", source), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  return error.message;
}

Deno.test("import() reads a CIFAR-10 folder: planes become interleaved channels", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeCifar10(folder, "cifar-10-batches-bin", cifar10Files());
  const registry = new DatasetRegistry(folder.join("data"));
  const progress: number[][] = [];
  const description = await registry.import("cifar10", source, {
    onProgress: (done, total) => progress.push([done, total]),
  });

  assertEquals(progress, [[2, 5], [4, 5], [5, 5]]);
  assertEquals([description.height, description.width, description.channels], [32, 32, 3]);
  assertEquals(description.images, { train: 4, test: 1 });
  assertEquals(description.classNames, CIFAR10_NAMES.trim().split("\n"));
  assertEquals(description.mean, [0.4914, 0.4822, 0.4465]);
  assertEquals(description.standardDeviation, [0.2023, 0.1994, 0.201]);
  assertEquals([description.cropPadding, description.horizontalFlip], [4, true]);
  assertEquals(
    description.description,
    "CIFAR-10: photographs of 10 classes, 32x32, colour; 4 to train, 1 to test " +
      "(the whole data set has 50,000 to train, 10,000 to test)",
  );
  assertEquals(await registry.describe("cifar10"), description);

  const train = await registry.load("cifar10", "train");
  assertEquals(Array.from(train.labels), [0, 1, 2, 3]);
  assertEquals(Array.from(train.pixels), [0, 1, 2, 3].flatMap(interleaved));
  const test = await registry.load("cifar10", "test");
  assertEquals([test.count, ...test.labels], [1, 9]);
  assertEquals(Array.from(test.pixels), interleaved(9));
});

Deno.test("import() finds the CIFAR folder one level below, and reads more than one chunk", async () => {
  await using folder = await TemporaryFolder.create();
  const many = concatenate(...Array.from({ length: 600 }, (_, i) => cifarRecord([i % 10], (_c, p) => (i + p) % 256)));
  await writeCifar10(folder, "download/cifar-10-batches-bin", { ...cifar10Files(), "data_batch_1.bin": many });
  const registry = new DatasetRegistry(folder.join("data"));
  const { images } = await registry.import("cifar10", folder.join("download"));
  assertEquals(images, { train: 602, test: 1 });
  const { pixels, labels } = await registry.load("cifar10", "train");
  assertEquals([labels[599], labels[600], labels[601]], [9, 2, 3]);
  assertEquals(Array.from(pixels.subarray(599 * 3072, 599 * 3072 + 6)), [87, 87, 87, 88, 88, 88]);
});

Deno.test("import() reads CIFAR-100 with its fine labels", async () => {
  await using folder = await TemporaryFolder.create();
  const names = Array.from({ length: 100 }, (_, i) => `fine_${i}`);
  await folder.write("cifar-100-binary/fine_label_names.txt", names.join("\n"));
  await folder.write("cifar-100-binary/coarse_label_names.txt", "ignored\n");
  await folder.write(
    "cifar-100-binary/train.bin",
    concatenate(cifarRecord([19, 99], cifarValue(1)), cifarRecord([3, 0], cifarValue(2))),
  );
  await folder.write("cifar-100-binary/test.bin", cifarRecord([1, 42], cifarValue(3)));
  const registry = new DatasetRegistry(folder.join("data"));
  const { classNames, description } = await registry.import("cifar100", folder.join("cifar-100-binary"));
  assertEquals(classNames, names);
  assertStringIncludes(description, "CIFAR-100: photographs of 100 classes");
  assertEquals(Array.from((await registry.load("cifar100", "train")).labels), [99, 0]);
  const test = await registry.load("cifar100", "test");
  assertEquals([Array.from(test.labels), Array.from(test.pixels)], [[42], interleaved(3)]);
});

Deno.test("import() reads the archive, compressed or not, and packs the same bytes as from the folder", async () => {
  await using folder = await TemporaryFolder.create();
  const files = cifar10Files();
  const registry = new DatasetRegistry(folder.join("data"));
  await registry.import("from-folder", await writeCifar10(folder, "source", files));
  // In the official archive's order, which is not the order to read in.
  const order = ["data_batch_2.bin", "batches.meta.txt", "test_batch.bin", "data_batch_1.bin"];
  const archive = tar(
    tarMember("cifar-10-batches-bin/", "", "5"),
    ...order.map((name) => tarMember(`cifar-10-batches-bin/${name}`, files[name])),
    tarMember("cifar-10-batches-bin/readme.html", "<html>"),
  );
  await registry.import("from-gzip", await folder.write("cifar-10-binary.tar.gz", gzip(archive)));
  await registry.import("from-tar", await folder.write("cifar.tar", archive));

  const expected = await registry.load("from-folder", "train");
  for (const name of ["from-gzip", "from-tar"]) {
    assertEquals(await registry.load(name, "train"), expected);
    assertEquals(await fileNames(folder.join("data", "datasets", name)), [
      "description.json",
      "test.labels",
      "test.pixels",
      "train.labels",
      "train.pixels",
    ]);
  }
});

Deno.test("import() refuses archives that are cut, damaged, foreign or lead out of their folder", async (t) => {
  await using folder = await TemporaryFolder.create();
  const files = cifar10Files();
  const whole = tar(...Object.entries(files).map(([name, content]) => tarMember(name, content)));
  const badHeader = whole.slice();
  badHeader[3]++;
  const compressed = gzip(whole);
  const flipped = compressed.slice();
  flipped[compressed.length >> 1] ^= 0xff;
  const cases: [string, Uint8Array | string, string][] = [
    [
      "cut gzip",
      compressed.subarray(0, compressed.length - 200),
      "Archive is truncated or damaged: it cannot be decompressed to its end",
    ],
    ["damaged gzip", flipped, "Archive is"],
    ["bomb", gzip(tarMember("padding", new Uint8Array(17 << 20))), "Archive looks like a zip bomb: "],
    ["cut tar", whole.subarray(0, 5000), "Archive is truncated: it ends before its end mark"],
    [
      "bad header",
      gzip(badHeader),
      "Archive is damaged: a header's checksum is wrong",
    ],
    [
      "parent folder",
      tar(tarMember("../data_batch_1.bin", files["data_batch_1.bin"])),
      'Archive has a member outside its folder: "../data_batch_1.bin"',
    ],
    [
      "absolute",
      tar(tarMember("/etc/data_batch_1.bin", files["data_batch_1.bin"])),
      'Archive has a member outside its folder: "/etc/data_batch_1.bin"',
    ],
    [
      "twice",
      tar(tarMember("a/test_batch.bin", "x"), tarMember("b/test_batch.bin", "x")),
      "Archive has test_batch.bin twice",
    ],
    [
      "both",
      tar(tarMember("test_batch.bin", "x"), tarMember("train.bin", "x")),
      "Archive holds both CIFAR-10 and CIFAR-100",
    ],
    [
      "foreign",
      tar(tarMember("a.txt", "x")),
      "Archive holds no data set that is known: must be cifar-10-binary.tar.gz or cifar-100-binary.tar.gz",
    ],
    [
      "incomplete",
      tar(tarMember("batches.meta.txt", CIFAR10_NAMES), tarMember("test_batch.bin", files["test_batch.bin"])),
      "Cannot find data_batch_1.bin or data_batch_2.bin or data_batch_3.bin or data_batch_4.bin or data_batch_5.bin: " +
      "CIFAR-10 is imported from cifar-10-binary.tar.gz or its folder",
    ],
    [
      "pickle",
      tar(tarMember("cifar-10-batches-py/data_batch_1", "x")),
      "Cannot import cifar-10-batches-py: the Python version of CIFAR is pickled; get the binary version, " +
      "cifar-10-binary.tar.gz",
    ],
    [
      "text",
      "hello",
      "Cannot import this file: must be a tar archive (.tar.gz) of CIFAR-10 or CIFAR-100, a zip, an .npz, or a folder",
    ],
  ];
  const registry = new DatasetRegistry(folder.join("data"));
  for (const [name, content, message] of cases) {
    await t.step(name, async () => {
      const path = await folder.write("archive", content);
      const error = await assertRejects(() => registry.import("broken", path), DatasetError, message);
      assertEquals(error.kind, "invalid");
      assertEquals(await fileNames(folder.join("data", "datasets")), []);
    });
  }
});

Deno.test("import() names the CIFAR file that is wrong", async () => {
  assertEquals(
    await importBroken({ "data_batch_2.bin": new Uint8Array(3072) }),
    "Cannot use data_batch_2.bin: it has 3072 bytes, which is not a whole number of CIFAR-10 records of 3073",
  );
  assertEquals(
    await importBroken({ "test_batch.bin": new Uint8Array() }),
    "Cannot use test_batch.bin: it has 0 bytes, which is not a whole number of CIFAR-10 records of 3073",
  );
  assertEquals(
    await importBroken({ "data_batch_2.bin": concatenate(cifarRecord([1], () => 0), cifarRecord([10], () => 0)) }),
    "Cannot use data_batch_2.bin: record 1 has label 10, must be below 10",
  );
  assertEquals(
    await importBroken({ "batches.meta.txt": "cat\ndog\n" }),
    "Cannot use batches.meta.txt: must name 10 classes, one a line",
  );
  assertEquals(
    await importBroken({ "test_batch.bin": undefined }),
    "Cannot find test_batch.bin: CIFAR-10 is imported from cifar-10-binary.tar.gz or its folder",
  );
  assertEquals(
    await importBroken({ "batches.meta.txt": undefined }),
    "Cannot find batches.meta.txt: CIFAR-10 is imported from cifar-10-binary.tar.gz or its folder",
  );
});

Deno.test("import() refuses the Python version and says which archive to get", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.join("data"));
  const layouts: [string, string[], string][] = [
    ["cifar-10-batches-py", ["data_batch_1", "batches.meta"], "cifar-10-binary.tar.gz"],
    ["renamed-10", ["data_batch_1", "test_batch"], "cifar-10-binary.tar.gz"],
    ["cifar-100-python", ["train", "test", "meta"], "cifar-100-binary.tar.gz"],
    ["renamed-100", ["train", "test", "meta"], "cifar-100-binary.tar.gz"],
  ];
  for (const [root, names, archive] of layouts) {
    for (const name of names) await folder.write(`${root}/${name}`, "pickle");
    const message = `the Python version of CIFAR is pickled; get the binary version, ${archive}`;
    await assertRejects(() => registry.import("cifar", folder.join(root)), DatasetError, message);
  }
});

Deno.test("import() scales no CIFAR image", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeCifar10(folder, "source", cifar10Files());
  const registry = new DatasetRegistry(folder.join("data"));
  await assertRejects(
    () => registry.import("cifar10", source, { height: 64, width: 64 }),
    DatasetError,
    "Cannot scale this data set to 64x64x3: its images are 32x32x3",
  );
  await registry.import("cifar10", source, { height: 32, width: 32, channels: 3 });
});
