import { assert, assertEquals, assertRejects } from "@std/assert";
import { parquetWriteBuffer } from "hyparquet-writer";
import sharp from "sharp";
import { DatasetError, DatasetRegistry, type ImportReport, UnknownDatasetError } from "../../src/data/mod.ts";
import { SmallDisk, smallDiskProblem } from "../support/small_disk.ts";
import { cifar10Files, fileNames, jpeg, tar, tarMember, TemporaryFolder } from "./fixtures.ts";
import { picture, pictureSize, SIZE, withPictures, writePictures } from "./streamed_fixture.ts";
import { zip } from "./zip_fixture.ts";

const STREAMED = { ...SIZE, streamed: true };

/** Every image file, in the order of the data set: those to train, those to test. */
async function filesOf(registry: DatasetRegistry, name: string): Promise<Uint8Array[]> {
  const files: Uint8Array[] = [];
  for (const split of ["train", "test"] as const) {
    await using opened = await registry.openStreamed(name, split);
    for (let i = 0; i < opened.count; i++) files.push(await opened.read(i));
  }
  return files;
}

async function failure(folder: TemporaryFolder, source: string): Promise<string> {
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("set", source, STREAMED), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  return error.message;
}

Deno.test("import() keeps image files as they are, with labels, names and the sizes seen", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 3);
  const described = await registry.describe("pictures");
  assertEquals([described.kind, described.height, described.width, described.channels], ["streamed", 8, 8, 3]);
  assertEquals([described.images, described.cropPadding, described.horizontalFlip], [{ train: 6, test: 4 }, 0, true]);
  assertEquals(
    described.description,
    "Image folder of 2 classes, kept as files and cropped to 8x8x3: 6 to train, 4 to test",
  );
  await using train = await registry.openStreamed("pictures", "train");
  for (const [index, path] of ["cat/0000", "dog/0000", "cat/0001", "dog/0001", "cat/0002", "dog/0002"].entries()) {
    assertEquals(await train.read(index), await Deno.readFile(folder.join(`pictures/train/${path}.jpg`)));
    const { label, height, width } = train.record(index);
    assertEquals({ label, height, width }, { label: index % 2, ...pictureSize((index >> 1) + index % 2 * 3) });
  }
  const { message } = await train.damaged(3, "it is blurred");
  assertEquals(
    message,
    'Data set "pictures" is damaged: image 3 of train.records, imported as "train/dog/0001.jpg": it is blurred; ' +
      "remove datasets/pictures from the data folder and import it again",
  );
});

Deno.test("import() of one set of pictures as folder, zip, shards and Parquet keeps the same files", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 2);
  const expected = await filesOf(registry, "pictures");

  const paths = ["train", "test"].flatMap((split) =>
    ["cat", "dog"].flatMap((name) => ["0000", "0001"].map((file) => `${split}/${name}/${file}.jpg`))
  );
  const content = await Promise.all(paths.map((path) => Deno.readFile(folder.join("pictures", path))));
  await folder.write("pictures.zip", zip(...paths.map((name, i) => ({ name, content: content[i] }))));
  for (const split of ["train", "test"]) {
    const members = paths.flatMap((path, i) => {
      if (!path.startsWith(split)) return [];
      const label = path.includes("cat") ? "0" : "1";
      return [
        tarMember(path.slice(split.length + 1), content[i]),
        tarMember(path.slice(split.length + 1, -3) + "cls", label),
      ];
    });
    await folder.write(`shards/${split}-0.tar`, tar(...members));
    // In the order that the folder's classes are spread in.
    const start = split === "train" ? 0 : 4;
    const image = { name: "image", data: expected.slice(start, start + 4), type: "BYTE_ARRAY" } as const;
    const label = { name: "label", data: Int32Array.of(0, 1, 0, 1), type: "INT32" } as const;
    await folder.write(`tables/${split}.parquet`, new Uint8Array(parquetWriteBuffer({ columnData: [image, label] })));
  }
  for (const source of ["pictures.zip", "shards", "tables"]) {
    const name = source.replace(".", "-");
    await registry.import(name, folder.join(source), STREAMED);
    assertEquals(await filesOf(registry, name), expected, source);
    const [{ mean, standardDeviation }, told] = [await registry.describe(name), await registry.describe("pictures")];
    assertEquals([mean, standardDeviation], [told.mean, told.standardDeviation]);
  }
});

Deno.test("import() of a streamed set crops to 224x224x3 unless told otherwise", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writePictures(folder, "pictures", 1);
  const set = await new DatasetRegistry(folder.join("data")).import("set", source, { streamed: true });
  assertEquals([set.height, set.width, set.channels], [224, 224, 3]);
});

Deno.test("import() leaves out truncated and damaged files of a streamed set, and says which", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writePictures(folder, "pictures", 2);
  const whole = await jpeg({ width: 64, height: 48 });
  await folder.write("pictures/train/cat/cut.jpg", whole.subarray(0, whole.length >> 1));
  const holed = new Uint8Array(await sharp(whole).png().toBuffer());
  holed.fill(0x55, 60, 400);
  await folder.write("pictures/train/dog/holed.png", holed);
  await folder.write("pictures/train/dog/text.jpg", "hello");
  const reports: ImportReport[] = [];
  const registry = new DatasetRegistry(folder.join("data"));
  await registry.import("set", source, { ...STREAMED, onReport: (report) => void reports.push(report) });
  const [{ classCounts, packedBytes, skipped }] = reports;
  assertEquals(classCounts, { train: [2, 2], test: [2, 2] });
  const reasons = Object.fromEntries(skipped.files.map(({ path, reason }) => [path, reason.split(":")[0]]));
  assertEquals(reasons, {
    "train/cat/cut.jpg": "is truncated",
    "train/dog/holed.png": "is damaged",
    "train/dog/text.jpg": "is of an unknown type",
  });
  const sizes = await Promise.all(
    ["train.records", "train.index", "test.records", "test.index"].map(async (file) =>
      (await Deno.stat(folder.join("data/datasets/set", file))).size
    ),
  );
  assertEquals(packedBytes, sizes.reduce((sum, size) => sum + size, 0));
});

Deno.test("import() tells the size of an image as it is seen: turned by its EXIF orientation", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writePictures(folder, "pictures", 1);
  const turned = await sharp(await picture(0, { width: 30, height: 20 })).withMetadata({ orientation: 6 }).toBuffer();
  await folder.write("pictures/train/cat/0000.jpg", turned);
  const registry = new DatasetRegistry(folder.join("data"));
  await registry.import("set", source, STREAMED);
  await using train = await registry.openStreamed("set", "train");
  const { height, width } = train.record(0);
  assertEquals({ height, width }, { height: 30, width: 20 });
});

Deno.test("import() refuses to stream what has no image files", async () => {
  await using folder = await TemporaryFolder.create();
  for (const [name, bytes] of Object.entries(cifar10Files())) await folder.write(`cifar-10-batches-bin/${name}`, bytes);
  const registry = new DatasetRegistry(folder.join("data"));
  const source = folder.join("cifar-10-batches-bin");
  const error = await assertRejects(() => registry.import("set", source, { streamed: true }), DatasetError);
  assertEquals(
    error.message,
    'Cannot import as "set": the source has pixels and no image files, which streaming needs; import it packed',
  );
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
});

Deno.test("import() refuses hostile and faulty sources of a streamed set, and writes nothing", async () => {
  await using folder = await TemporaryFolder.create();
  const file = await picture(0, { width: 20, height: 20 });
  const shard = (...names: string[]) =>
    tar(...names.flatMap((name, i) => [tarMember(`${name}.jpg`, file), tarMember(`${name}.cls`, String(i % 2))]));
  await folder.write("shards/test-0.tar", shard("a", "b"));
  await folder.write("shards/train-0.tar", shard("a", "../b"));
  assert((await failure(folder, folder.join("shards"))).includes("../b"));
  await folder.write("shards/train-0.tar", shard("a", "/b"));
  assert((await failure(folder, folder.join("shards"))).includes("/b"));
  await folder.write("shards/train-0.tar", shard("a", "b").subarray(0, 2000));
  assertEquals(await failure(folder, folder.join("shards")), "Archive is truncated: it ends before its end mark");

  const zeros = new Uint8Array(17 * 1024 * 1024);
  const members = ["train/a", "train/b", "test/a"].map((at) => ({ name: `${at}/0.jpg`, content: file }));
  const bomb = { name: "test/b/0.jpg", content: zeros, deflate: true };
  assert((await failure(folder, await folder.write("bomb.zip", zip(...members, bomb)))).includes("zip bomb"));
  assertEquals(
    await failure(folder, await folder.write("twice.zip", zip(...members, members[0]))),
    'Archive has "train/a/0.jpg" twice',
  );

  const source = await writePictures(folder, "pictures", 1);
  await folder.write("pictures/train/cat/0000.jpg", file.subarray(0, 100));
  assert((await failure(folder, source)).startsWith('Class "cat" has no image to train: 1 file was left out: '));
  assertEquals((await fileNames(folder.path)).filter((name) => name.startsWith("b")), ["bomb.zip"]);
});

Deno.test("import() of a streamed set killed half-way registers nothing; the next one succeeds", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writePictures(folder, "pictures", 10);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("import_child.ts", import.meta.url).pathname]
      .concat([folder.join("data"), "set", source, "streamed"]),
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();

  const registry = new DatasetRegistry(folder.join("data"));
  const [left] = await fileNames(folder.join("data", "datasets"));
  assert(left.startsWith(".importing-set-"), left);
  await assertRejects(() => registry.openStreamed("set", "train"), UnknownDatasetError);
  await registry.import("set", source, STREAMED);
  assertEquals(await fileNames(folder.join("data", "datasets")), ["set"]);
});

const diskProblem = smallDiskProblem();

Deno.test({
  name: `import() of a streamed set onto a full disk says so and leaves nothing${
    diskProblem ? `: ${diskProblem}` : ""
  }`,
  ignore: diskProblem !== undefined,
  async fn() {
    await using folder = await TemporaryFolder.create();
    const source = await writePictures(folder, "pictures", 4);
    await folder.write("pictures/train/dog/large.jpg", await jpeg({ width: 1500, height: 1500 }));
    using disk = new SmallDisk(1);
    const registry = new DatasetRegistry(disk.folder);
    const error = await assertRejects(() => registry.import("set", source, STREAMED), DatasetError);
    assertEquals([error.kind, error.message], ["storage", 'Cannot write data set "set": the disk is full']);
    assertEquals(await fileNames(`${disk.folder}/datasets`), []);
  },
});

Deno.test("a streamed set that was changed is told, and its image by name", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 2);
  const damaged = async (problem: string, run: () => Promise<unknown>) => {
    const error = await assertRejects(run, DatasetError);
    const remedy = "remove datasets/pictures from the data folder and import it again";
    assertEquals([error.kind, error.message], ["damaged", `Data set "pictures" is damaged: ${problem}; ${remedy}`]);
  };
  const records = folder.join("data/datasets/pictures/train.records");
  const bytes = await Deno.readFile(records);
  {
    await using train = await registry.openStreamed("pictures", "train");
    const { offset, nameBytes } = train.record(2);
    const changed = bytes.slice();
    changed[offset + nameBytes + 300] ^= 1;
    await Deno.writeFile(records, changed);
    await train.read(1);
    const checksum = "its checksum is not the one it was written with";
    await damaged(`image 2 of train.records, imported as "train/cat/0001.jpg": ${checksum}`, () => train.read(2));
  }
  await Deno.writeFile(records, bytes.subarray(0, -1));
  await damaged(
    `train.records has ${bytes.length - 1} bytes instead of ${bytes.length}`,
    () => registry.describe("pictures"),
  );
  await Deno.writeFile(records, bytes);
  const index = folder.join("data/datasets/pictures/train.index");
  const entries = await Deno.readFile(index);
  entries[20] ^= 1;
  await Deno.writeFile(index, entries);
  await damaged(
    "the checksum of train.index is not the one it was written with",
    () => registry.openStreamed("pictures", "train"),
  );
});

Deno.test("load() and openStreamed() each refuse the other kind of data set", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPictures(folder, 1);
  await registry.import("packed", folder.join("pictures"), SIZE);
  const load = await assertRejects(() => registry.load("pictures", "train"), DatasetError);
  assertEquals(load.message, 'Cannot load data set "pictures" into memory: it is streamed');
  const open = await assertRejects(() => registry.openStreamed("packed", "train"), DatasetError);
  assertEquals(open.message, 'Cannot stream data set "packed": it is packed');
});
