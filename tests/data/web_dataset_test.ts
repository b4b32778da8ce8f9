import { assertEquals, assertRejects } from "@std/assert";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import { fileNames, png, tar, tarMember, TemporaryFolder } from "./fixtures.ts";

const SIZE = { height: 2, width: 2, channels: 3 } as const;
const red = await png({ width: 3, height: 3 }, "#ff0000");
const blue = await png({ width: 3, height: 3 }, "#0000ff");

function sample(key: string, image: Uint8Array, label: string, ending = "cls"): Uint8Array[] {
  return [tarMember(`${key}.png`, image), tarMember(`${key}.${ending}`, label)];
}

const testShard = tar(...sample("a", red, "0"), ...sample("b", blue, "1"));

async function failure(train: Uint8Array): Promise<string> {
  await using folder = await TemporaryFolder.create();
  await folder.write("set/train-0.tar", train);
  await folder.write("set/test-0.tar", testShard);
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("set", folder.join("set"), SIZE), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  return error.message;
}

Deno.test("import() reads WebDataset's shards with .cls and .json, the classes spread evenly", async () => {
  await using folder = await TemporaryFolder.create();
  await folder.write("set/train-000000.tar", tar(...sample("x/0001", red, "0\n"), ...sample("x/0002", red, "0")));
  const json = JSON.stringify({ label: 1, caption: "blue" });
  await folder.write("set/train-000001.tar", tar(...sample("x/0003", blue, json, "json"), ...sample("4", blue, "1")));
  await folder.write("set/val-000000.tar", testShard);
  const registry = new DatasetRegistry(folder.join("data"));
  const set = await registry.import("set", folder.join("set"), SIZE);
  assertEquals(set.classNames, ["0", "1"]);
  assertEquals(set.description, "WebDataset of 2 classes, scaled to 2x2x3: 4 to train, 2 to test");
  const { labels, pixels } = await registry.load("set", "train");
  assertEquals(Array.from(labels), [0, 1, 0, 1]);
  assertEquals(Array.from({ length: 4 }, (_, i) => pixels[i * 12]), [255, 0, 255, 0]);
});

Deno.test("import() leaves out samples of a shard without an image or a label, and says which", async () => {
  await using folder = await TemporaryFolder.create();
  await folder.write(
    "set/train-0.tar",
    tar(
      ...sample("0", red, "0"),
      ...sample("1", blue, "1"),
      ...sample("2", blue, "cat"),
      ...sample("3", blue, "-1"),
      tarMember("4.png", blue),
      tarMember("5.cls", "1"),
      ...sample("6", blue.subarray(0, 60), "1"),
    ),
  );
  await folder.write("set/test-0.tar", testShard);
  const { description } = await new DatasetRegistry(folder.join("data")).import("set", folder.join("set"), SIZE);
  assertEquals(
    description,
    "WebDataset of 2 classes, scaled to 2x2x3: 2 to train, 2 to test; 5 files were left out: " +
      'train-0.tar: 2 (its label is "cat": must be a whole number below 100000), ' +
      'train-0.tar: 3 (its label is "-1": must be a whole number below 100000), ' +
      "train-0.tar: 4 (has no label beside it), " +
      "train-0.tar: 5 (has no image: must be .jpg, .jpeg, .png, .webp), " +
      "train-0.tar: 6.png (is truncated: the file ends before the image does)",
  );
});

Deno.test("import() refuses shards that are damaged, hostile or doubled", async () => {
  const good = [...sample("0", red, "0"), ...sample("1", blue, "1")];
  assertEquals(
    await failure(tar(...good, tarMember("../evil.png", red))),
    'Archive has a member outside its folder: "../evil.png"',
  );
  assertEquals(
    await failure(tar(...good, tarMember("/tmp/evil.png", red))),
    'Archive has a member outside its folder: "/tmp/evil.png"',
  );
  assertEquals(
    await failure(tar(...good).subarray(0, 1500)),
    "Archive is truncated: it ends before its end mark",
  );
  assertEquals(
    await failure(tar(...good, tarMember("1.png", blue))),
    "Shard train-0.tar has an image of 1 twice",
  );
  assertEquals(await failure(tar(...sample("0", red, "0"))), 'Class "1" has no image to train');
});

Deno.test("import() of shards says how a split's are to be named", async () => {
  await using folder = await TemporaryFolder.create();
  await folder.write("set/train-0.tar", testShard);
  const registry = new DatasetRegistry(folder.join("data"));
  const error = await assertRejects(() => registry.import("set", folder.join("set"), SIZE), DatasetError);
  assertEquals(error.message, "Cannot find the files to test: their names must be test*.tar, there is train-0.tar");
});
