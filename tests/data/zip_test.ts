import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import { fileNames, jpeg, png, sha256, TemporaryFolder, writeImageFolder } from "./fixtures.ts";
import { zip, type ZipMember } from "./zip_fixture.ts";

const SIZE = { height: 4, width: 4, channels: 3 } as const;

/** The members of `writeImageFolder`'s folder, two classes with `train` images and a test image each. */
async function petMembers({ prefix = "", deflate = false, train = 3 } = {}): Promise<ZipMember[]> {
  const members: ZipMember[] = [];
  for (const [name, color] of [["dog", "#0000ff"], ["cat", "#ff0000"]]) {
    const content = await png({ width: 8, height: 6 }, color);
    members.push({ name: `${prefix}test/${name}/0.png`, content, deflate });
    for (let i = 0; i < train; i++) members.push({ name: `${prefix}train/${name}/${i}.png`, content, deflate });
  }
  return members;
}

/** What the packed folder holds, by file name. */
async function packedBytes(folder: TemporaryFolder, data: string, name: string): Promise<Record<string, string>> {
  const packed = folder.join(data, "datasets", name);
  const files: Record<string, string> = {};
  for (const file of await fileNames(packed)) files[file] = await sha256(await Deno.readFile(`${packed}/${file}`));
  return files;
}

async function importFailure(folder: TemporaryFolder, members: ZipMember[]): Promise<string> {
  const path = await folder.write("pets.zip", zip(...members));
  const registry = new DatasetRegistry(folder.join("data"));
  const before = await fileNames(folder.path);
  const error = await assertRejects(() => registry.import("pets", path, SIZE), DatasetError);
  assertEquals(error.kind, "invalid");
  assertEquals(await fileNames(folder.join("data", "datasets")), []);
  assertEquals((await fileNames(folder.path)).filter((name) => name !== "data"), before.filter((n) => n !== "data"));
  return error.message;
}

Deno.test("import() of a zip gives the packed files of its folder, bit for bit", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "pets");
  await new DatasetRegistry(folder.join("from-folder")).import("pets", source, SIZE);
  const expected = await packedBytes(folder, "from-folder", "pets");
  const archives: Record<string, ZipMember[]> = {
    stored: await petMembers(),
    deflated: await petMembers({ deflate: true }),
    // As file managers make them.
    wrapped: [{ name: "pets/", content: "" }, ...await petMembers({ prefix: "pets/" })],
    mac: [...await petMembers({ prefix: "./pets/" }), { name: "__MACOSX/pets/._train", content: "" }],
  };
  for (const [data, members] of Object.entries(archives)) {
    const path = await folder.write(`${data}.zip`, zip(...members));
    await new DatasetRegistry(folder.join(data)).import("pets", path, SIZE);
    assertEquals(await packedBytes(folder, data, "pets"), expected, data);
  }
});

Deno.test("import() takes a folder of one zip a split, with and without the split's folder inside", async () => {
  await using folder = await TemporaryFolder.create();
  const members = await petMembers();
  const part = (split: string) => members.filter(({ name }) => name.startsWith(`${split}/`));
  await folder.write("zips/train.zip", zip(...part("train")));
  await folder.write(
    "zips/val.zip",
    zip(...part("test").map((member) => ({ ...member, name: member.name.replace("test/", "") }))),
  );
  const registry = new DatasetRegistry(folder.join("data"));
  const { images, classNames } = await registry.import("pets", folder.join("zips"), SIZE);
  assertEquals(images, { train: 6, test: 2 });
  assertEquals(classNames, ["cat", "dog"]);
});

Deno.test("import() leaves out what cannot be read in a zip, and says which", async () => {
  await using folder = await TemporaryFolder.create();
  const image = await png({ width: 8, height: 6 }, "#ff0000");
  const photograph = await jpeg({ width: 40, height: 30 });
  const path = await folder.write(
    "pets.zip",
    zip(
      ...await petMembers(),
      { name: "train/cat/a.png", content: image, deflate: true, flags: 1 },
      { name: "train/cat/b.png", content: "../../../etc/passwd", mode: 0o120777 },
      { name: "train/cat/c.png", content: image, method: 14 },
      { name: "train/cat/d.jpg", content: photograph.subarray(0, 900) },
      { name: "train/cat/e.png", content: image, crc: 1 },
    ),
  );
  const { images, description } = await new DatasetRegistry(folder.join("data")).import("pets", path, SIZE);
  assertEquals(images, { train: 6, test: 2 });
  for (
    const part of [
      "5 files were left out: train/cat/a.png (is encrypted)",
      "train/cat/b.png (is a symbolic link)",
      "train/cat/c.png (is compressed by method 14: only stored and deflated members can be read)",
      "train/cat/d.jpg (is truncated: the file ends before the image does)",
      "train/cat/e.png (is damaged in the archive: its checksum is wrong)",
    ]
  ) assertStringIncludes(description, part);
});

Deno.test("import() refuses members outside the archive's folder by name, and writes nothing", async () => {
  await using folder = await TemporaryFolder.create();
  const members = await petMembers();
  for (const name of ["../evil.png", "train/cat/../../../evil.png", "/tmp/evil.png", "C:/evil.png", "..\\evil.png"]) {
    const message = await importFailure(folder, [...members, { name, content: "x" }]);
    assertEquals(message, `Archive has a member outside its folder: ${JSON.stringify(name.replaceAll("\\", "/"))}`);
  }
});

Deno.test("import() refuses duplicate names in a zip", async () => {
  await using folder = await TemporaryFolder.create();
  const members = await petMembers();
  assertEquals(await importFailure(folder, [...members, members[0]]), 'Archive has "test/dog/0.png" twice');
  const inside = { name: "test/dog/0.png/x.png", content: "x" };
  assertEquals(await importFailure(folder, [...members, inside]), 'Archive has "test/dog/0.png" twice');
});

Deno.test("import() refuses zip bombs: by a member's ratio, by all of them, and by a length that lies", async () => {
  await using folder = await TemporaryFolder.create();
  const members = await petMembers();
  const zeros = { name: "train/cat/z.png", content: new Uint8Array(17 << 20), deflate: true };
  const bomb = await importFailure(folder, [...members, zeros]);
  assert(
    /^Archive looks like a zip bomb: pets\.zip: train\/cat\/z\.png grows from \d+ to 17825792 bytes/.test(bomb),
    bomb,
  );

  // Each is harmless by itself; together they are not.
  const many = Array.from({ length: 100 }, (_, i) => (
    { name: `train/cat/z${i}.png`, content: "x".repeat(1000), deflate: true, claimedBytes: 16 << 20 }
  ));
  const all = await importFailure(folder, [...members, ...many]);
  assert(/^Archive looks like a zip bomb: pets\.zip grows from \d+ to \d+ bytes, at most 200 times/.test(all), all);

  const liar = { name: "train/cat/z.png", content: new Uint8Array(17 << 20), deflate: true, claimedBytes: 100 };
  assertEquals(
    await importFailure(folder, [...members, liar]),
    "Archive has a member that is longer than it says: train/cat/z.png",
  );
});

Deno.test("import() refuses zips that are damaged or hold something else", async () => {
  await using folder = await TemporaryFolder.create();
  const whole = zip(...await petMembers());
  const registry = new DatasetRegistry(folder.join("data"));
  const cases: [Uint8Array, string][] = [
    [whole.subarray(0, 400), "Archive pets.zip is truncated or damaged: "],
    [whole.with(whole.length - 6, 0xff), "Archive pets.zip is truncated or damaged: "],
    [
      zip(),
      "Cannot tell what pets.zip holds: must have train/<class>/<image> and test/<class>/<image>, or NumPy's arrays; of",
    ],
    [zip({ name: "readme.txt", content: "hello" }), "Cannot tell what pets.zip holds: "],
    [zip({ name: "train/cat/0.png", content: "" }), "Image folder has no folder a class in test or val: "],
  ];
  for (const [bytes, message] of cases) {
    const path = await folder.write("pets.zip", bytes);
    const error = await assertRejects(() => registry.import("pets", path, SIZE), DatasetError, message);
    assertEquals(error.kind, "invalid");
    assertEquals(await fileNames(folder.join("data", "datasets")), []);
  }
});

Deno.test("import() of a zip stops when its signal is aborted, and goes on when it is asked for again", async () => {
  await using folder = await TemporaryFolder.create();
  class Stopped extends Error {}
  const path = await folder.write("pets.zip", zip(...await petMembers()));
  const controller = new AbortController();
  const options = { ...SIZE, signal: controller.signal, onProgress: () => controller.abort(new Stopped()) };
  const registry = new DatasetRegistry(folder.join("data"));
  await assertRejects(() => registry.import("pets", path, options), Stopped);
  assertMatch((await fileNames(folder.join("data", "datasets"))).join(), /^\.interrupted-pets-[^,]*$/);
  await registry.import("pets", path, SIZE);
  assertEquals(await fileNames(folder.join("data", "datasets")), ["pets"]);
});

const SHARED = new URL("../../../shared/data/cifar10/", import.meta.url).pathname;
const hasShared = await Deno.stat(`${SHARED}train.zip`).then(() => true, () => false);

Deno.test({
  name: `import() of the shared CIFAR-10 archives as zips and as a folder packs the same bits${
    hasShared ? "" : " (skipped: the shared folder of real images is not beside this checkout)"
  }`,
  ignore: !hasShared,
  async fn() {
    await using folder = await TemporaryFolder.create();
    for (const split of ["train", "test"]) {
      // All 55,000 take a minute; the first hundreds hold every class.
      const images = await firstMembers(`${SHARED}${split}.zip`, 100);
      const args = ["-q", `${SHARED}${split}.zip`, ...images, "-d", folder.join("cifar")];
      assertEquals((await new Deno.Command("unzip", { args }).output()).code, 0);
      const members = images.map(async (name) => ({ name, content: await Deno.readFile(folder.join("cifar", name)) }));
      await folder.write(`zips/${split}.zip`, zip(...await Promise.all(members)));
    }
    const fromZip = await new DatasetRegistry(folder.join("zip")).import("cifar", folder.join("zips"));
    assertEquals(fromZip.images, { train: 100, test: 100 });
    assertEquals([fromZip.classNames.length, fromZip.classNames[0]], [10, "airplane"]);
    await new DatasetRegistry(folder.join("unzipped")).import("cifar", folder.join("cifar"));
    assertEquals(await packedBytes(folder, "zip", "cifar"), await packedBytes(folder, "unzipped", "cifar"));
  },
});

async function firstMembers(archive: string, count: number): Promise<string[]> {
  const { stdout } = await new Deno.Command("unzip", { args: ["-Z1", archive] }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((name) => name.endsWith(".jpg")).slice(0, count);
}
