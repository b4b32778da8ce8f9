import { assertEquals, assertRejects } from "@std/assert";
import { parquetWriteBuffer } from "hyparquet-writer";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import { fileNames, png, TemporaryFolder } from "./fixtures.ts";

const SIZE = { height: 2, width: 2, channels: 3 } as const;
const red = await png({ width: 3, height: 3 }, "#ff0000");
const blue = await png({ width: 3, height: 3 }, "#0000ff");

type Column = Parameters<typeof parquetWriteBuffer>[0]["columnData"][number];

function parquet(columnData: Column[], classNames?: string[]): Uint8Array {
  const features = { label: { names: classNames } };
  const kvMetadata = classNames ? [{ key: "huggingface", value: JSON.stringify({ info: { features } }) }] : undefined;
  return new Uint8Array(parquetWriteBuffer({ columnData, kvMetadata, rowGroupSize: 2 }));
}

function table(images: (Uint8Array | undefined)[], labels: (number | undefined)[], classNames?: string[]): Uint8Array {
  return parquet([
    { name: "id", data: labels.map((_, i) => i), type: "INT32" },
    { name: "image", data: images, type: "BYTE_ARRAY", nullable: true },
    {
      name: "label",
      data: labels.map((label) => label === undefined ? undefined : BigInt(label)),
      type: "INT64",
      nullable: true,
    },
  ], classNames);
}

const test = table([red, blue], [0, 1]);

async function failure(train: Uint8Array): Promise<string> {
  await using folder = await TemporaryFolder.create();
  await folder.write("set/train-00000-of-00001.parquet", train);
  await folder.write("set/test-00000-of-00001.parquet", test);
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("set", folder.join("set"), SIZE), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  return error.message;
}

Deno.test("import() reads Parquet files of images and labels in their order, with the hub's class names", async () => {
  await using folder = await TemporaryFolder.create();
  await folder.write("set/train-00000-of-00002.parquet", table([blue, red, red], [1, 0, 0], ["red", "blue"]));
  await folder.write("set/train-00001-of-00002.parquet", table([blue], [1], ["red", "blue"]));
  await folder.write("set/validation-00000-of-00001.parquet", test);
  const registry = new DatasetRegistry(folder.join("data"));
  const set = await registry.import("set", folder.join("set"), SIZE);
  assertEquals(set.classNames, ["red", "blue"]);
  assertEquals(set.description, "Parquet files of 2 classes, scaled to 2x2x3: 4 to train, 2 to test");
  const { labels, pixels } = await registry.load("set", "train");
  assertEquals(Array.from(labels), [1, 0, 0, 1]);
  assertEquals(Array.from({ length: 4 }, (_, i) => pixels[i * 12]), [0, 255, 255, 0]);
});

Deno.test("import() reads the hub's records of bytes and path", async () => {
  await using folder = await TemporaryFolder.create();
  const data = [{ bytes: red, path: "a.png" }, { bytes: blue, path: "b.png" }];
  const bytes = parquetWriteBuffer({
    columnData: [{ name: "image", data }, { name: "label", data: [0, 1] }],
    schema: [
      { name: "root", num_children: 2 },
      { name: "image", num_children: 2, repetition_type: "OPTIONAL" },
      { name: "bytes", type: "BYTE_ARRAY", repetition_type: "OPTIONAL" },
      { name: "path", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "label", type: "INT32", repetition_type: "REQUIRED" },
    ],
    codec: "SNAPPY",
  });
  for (const split of ["train", "test"]) await folder.write(`set/${split}.parquet`, new Uint8Array(bytes));
  const registry = new DatasetRegistry(folder.join("data"));
  assertEquals((await registry.import("set", folder.join("set"), SIZE)).images, { train: 2, test: 2 });
  const { pixels } = await registry.load("set", "train");
  assertEquals([pixels[0], pixels[12]], [255, 0]);
});

Deno.test("import() leaves out rows without an image or a label, and says which", async () => {
  await using folder = await TemporaryFolder.create();
  const images = [red, blue, undefined, blue, blue, blue.subarray(0, 60)];
  await folder.write("set/train.parquet", table(images, [0, 1, 1, -1, undefined, 1]));
  await folder.write("set/test.parquet", test);
  const { description } = await new DatasetRegistry(folder.join("data")).import("set", folder.join("set"), SIZE);
  assertEquals(
    description,
    "Parquet files of 2 classes, scaled to 2x2x3: 2 to train, 2 to test; 4 files were left out: " +
      "train.parquet: row 3 (its label is -1: must be a whole number below 100000), " +
      "train.parquet: row 4 (its label is null: must be a whole number below 100000), " +
      "train.parquet: row 2 (holds no bytes of an image), " +
      "train.parquet: row 5 (is truncated: the file ends before the image does)",
  );
});

Deno.test("import() takes labels that are digits of a text, and none for an empty text or a list", async () => {
  const labelled = (labels: unknown[], type: "STRING" | "JSON") =>
    parquet([
      { name: "image", data: labels.map(() => red), type: "BYTE_ARRAY" },
      { name: "label", data: labels, type },
    ]);
  const cases = [
    { labels: ["0", "1", "", " 1"], type: "STRING", refused: ["", " 1"] },
    { labels: [0, 1, [], [1]], type: "JSON", refused: ["", "1"] },
  ] as const;
  for (const { labels, type, refused } of cases) {
    await using folder = await TemporaryFolder.create();
    await folder.write("set/train.parquet", labelled([...labels], type));
    await folder.write("set/test.parquet", test);
    const { description } = await new DatasetRegistry(folder.join("data")).import("set", folder.join("set"), SIZE);
    const reason = (row: number) => `its label is ${refused[row]}: must be a whole number below 100000`;
    assertEquals(
      description,
      "Parquet files of 2 classes, scaled to 2x2x3: 2 to train, 2 to test; 2 files were left out: " +
        `train.parquet: row 2 (${reason(0)}), train.parquet: row 3 (${reason(1)})`,
    );
  }
});

Deno.test("import() refuses Parquet files that are damaged or lack a column", async () => {
  const file = "Cannot use train-00000-of-00001.parquet: ";
  const damaged = await failure(new TextEncoder().encode("hello, this is no Parquet file"));
  assertEquals(damaged.startsWith(`${file}it is no Parquet file or damaged (`), true, damaged);
  const cut = await failure(table([red, blue], [0, 1]).subarray(0, 200));
  assertEquals(cut.startsWith(`${file}it is no Parquet file or damaged (`), true, cut);
  assertEquals(
    await failure(parquet([{ name: "text", data: ["a"], type: "STRING" }])),
    `${file}it has no column of images, image, img, images: there are text`,
  );
  assertEquals(
    await failure(parquet([{ name: "img", data: [red], type: "BYTE_ARRAY" }])),
    `${file}it has no column of labels, label, labels, fine_label: there are img`,
  );
  assertEquals(await failure(table([red], [0])), 'Class "1" has no image to train');
});
