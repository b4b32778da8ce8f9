import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatasetError, DatasetRegistry, type ImportReport, UnknownDatasetError } from "../../src/data/mod.ts";
import { asStorageError } from "../../src/data/errors.ts";
import { fileNames, png, sha256, TemporaryFolder, writeImageFolder } from "./fixtures.ts";
import { zip } from "./zip_fixture.ts";

const SIZE = { height: 4, width: 4, channels: 3 } as const;

/** A data folder with the data set "pets". */
async function withPets(folder: TemporaryFolder): Promise<DatasetRegistry> {
  const registry = new DatasetRegistry(folder.join("data"));
  await registry.import("pets", await writeImageFolder(folder, "source"), SIZE);
  return registry;
}

Deno.test("list() has the built-in and the imported data sets, by name", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.join("data"));
  assertEquals((await registry.list()).map(({ name }) => name), ["mnist"]);
  const source = await writeImageFolder(folder, "source");
  await registry.import("zebras-2", source, SIZE);
  await registry.import("a", source, SIZE);
  assertEquals((await registry.list()).map(({ name }) => name), ["a", "mnist", "zebras-2"]);
  const reopened = new DatasetRegistry(folder.join("data"));
  assertEquals(await reopened.list(), await registry.list());
});

Deno.test("describe() and load() of an unknown data set name those that exist", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPets(folder);
  for (const name of ["imagenet", "", "../pets", "Pets"]) {
    const error = await assertRejects(() => registry.describe(name), UnknownDatasetError);
    assertEquals(error.message, `Cannot find data set "${name}": there are mnist, pets`);
    assertEquals([error.dataset, ...error.available], [name, "mnist", "pets"]);
    await assertRejects(() => registry.load(name, "train"), UnknownDatasetError);
  }
});

Deno.test("import() takes names of lower-case letters, digits and hyphens", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "source");
  const registry = new DatasetRegistry(folder.join("data"));
  for (const name of ["", "Pets", "pets 2", "../pets", "-pets", ".pets", "p\u00e4ts", "x".repeat(65)]) {
    const error = await assertRejects(() => registry.import(name, source, SIZE), DatasetError);
    assertEquals(
      error.message,
      `Cannot import as "${name}": the name must be 1 to 64 lower-case letters, digits and hyphens, ` +
        "and not begin with a hyphen",
    );
    assertEquals(error.kind, "invalid");
  }
  await registry.import("x".repeat(64), source, SIZE);
});

Deno.test("import() refuses a name that is taken, the built-in ones too", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPets(folder);
  for (const name of ["pets", "mnist"]) {
    const error = await assertRejects(() => registry.import(name, folder.join("source"), SIZE), DatasetError);
    assertEquals(error.message, `Cannot import as "${name}": there is a data set of that name`);
    assertEquals(error.kind, "exists");
  }
});

Deno.test("import() of one name twice at once registers one of them", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "source");
  const registry = new DatasetRegistry(folder.join("data"));
  const results = await Promise.allSettled([1, 2].map(() => registry.import("pets", source, SIZE)));
  const failures = results.filter((result) => result.status === "rejected");
  assertEquals(failures.map(({ reason }) => reason.message), [
    'Cannot import as "pets": there is a data set of that name',
  ]);
  assertEquals(await fileNames(folder.join("data", "datasets")), ["pets"]);
  assertEquals((await registry.load("pets", "train")).count, 6);
});

Deno.test("import() refuses sizes that are none and sources that are not there", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "source");
  const registry = new DatasetRegistry(folder.join("data"));
  const cases: [object, string][] = [
    [{ height: 0 }, "height is 0: must be a whole number from 1 to 2048"],
    [{ width: 1.5 }, "width is 1.5: must be a whole number from 1 to 2048"],
    [{ width: 2049 }, "width is 2049: must be a whole number from 1 to 2048"],
    [{ channels: 2 }, "channels is 2: must be 1 or 3"],
  ];
  for (const [options, message] of cases) {
    const error = await assertRejects(() => registry.import("pets", source, options), DatasetError);
    assertEquals(error.message, `Cannot import as "pets": ${message}`);
  }
  const missing = folder.join("nowhere");
  const error = await assertRejects(() => registry.import("pets", missing), DatasetError);
  assertEquals([error.kind, error.message], ["invalid", `Cannot read ${missing}: it does not exist`]);
});

Deno.test("import() reports classes, bytes and every file left out", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "source");
  await folder.write("source/train/cat/notes.txt", "hello");
  await folder.write("source/test/dog/cut.png", (await png({ width: 4, height: 4 }, "red")).subarray(0, 50));
  const reports: ImportReport[] = [];
  const options = { ...SIZE, onReport: (report: ImportReport) => void reports.push(report) };
  await new DatasetRegistry(folder.join("data")).import("pets", source, options);
  assertEquals(reports, [{
    classCounts: { train: [3, 3], test: [1, 1] },
    packedBytes: 8 * (48 + 4),
    skipped: reports[0].skipped,
  }]);
  assertEquals(reports[0].skipped.count, 2);
  assertEquals(reports[0].skipped.files, [
    { path: "train/cat/notes.txt", reason: "not named .jpg, .jpeg, .png or .webp" },
    { path: "test/dog/cut.png", reason: "is truncated: the file ends before the image does" },
  ]);
});

Deno.test("import() compares a file's SHA-256 first", async () => {
  await using folder = await TemporaryFolder.create();
  const image = await png({ width: 4, height: 4 }, "red");
  const members = ["train/a", "train/b", "test/a", "test/b"].map((at) => ({ name: `${at}/0.png`, content: image }));
  const archive = zip(...members);
  const path = await folder.write("pets.zip", archive);
  const registry = new DatasetRegistry(folder.join("data"));
  const found = await sha256(archive);
  const wrong = "0".repeat(64);
  for (
    const [source, checksum, message] of [
      [path, wrong, `Cannot import pets.zip: its SHA-256 is ${found}, not ${wrong}`],
      [path, "abc", 'Cannot import pets.zip: the SHA-256 "abc" is none: must be 64 hexadecimal digits'],
      [folder.path, wrong, "a SHA-256 was given, but only a file has one"],
    ]
  ) {
    await assertRejects(() => registry.import("pets", source, { ...SIZE, sha256: checksum }), DatasetError, message);
    assertEquals(await fileNames(folder.join("data", "datasets")), []);
  }
  const { images } = await registry.import("pets", path, { ...SIZE, sha256: found.toUpperCase() });
  assertEquals(images, { train: 2, test: 2 });
});

Deno.test("import() stops when its signal is aborted and leaves no data set", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writeImageFolder(folder, "source");
  const registry = new DatasetRegistry(folder.join("data"));
  class Stopped extends Error {}
  for (const when of ["before", "first chunk", "last chunk"]) {
    const controller = new AbortController();
    if (when === "before") controller.abort(new Stopped());
    const onProgress = (done: number, total: number) => {
      if (when === "first chunk" || done === total) controller.abort(new Stopped());
    };
    await assertRejects(
      () => registry.import("pets", source, { ...SIZE, signal: controller.signal, onProgress }),
      Stopped,
    );
    assertEquals((await registry.list()).map(({ name }) => name), ["mnist"]);
  }
  await registry.import("pets", source, SIZE);
  assertEquals(await fileNames(folder.join("data", "datasets")), ["mnist", "pets"]);
});

Deno.test("a data folder that cannot be written is told clearly", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(await folder.write("file", "not a folder"));
  const error = await assertRejects(() => registry.describe("mnist"), DatasetError);
  assertEquals(error.kind, "storage");
  assertEquals(error.message, `Cannot read data set "mnist": the data folder's path leads through a file`);
});

Deno.test({
  name: "import() onto a full disk says so and leaves nothing",
  // A small file system of its own takes Linux and root.
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
  async fn() {
    await using folder = await TemporaryFolder.create();
    const data = folder.join("data");
    await Deno.mkdir(data);
    const mount = await new Deno.Command("mount", { args: ["-t", "tmpfs", "-o", "size=256k", "tmpfs", data] }).output();
    if (!mount.success) return; // In a container that may not.
    try {
      const source = await writeImageFolder(folder, "source");
      const error = await assertRejects(
        () => new DatasetRegistry(data).import("pets", source, { height: 224, width: 224 }),
        DatasetError,
      );
      assertEquals([error.kind, error.message], ["storage", 'Cannot write data set "pets": the disk is full']);
      assertEquals(await fileNames(folder.join("data", "datasets")), []);
    } finally {
      await new Deno.Command("umount", { args: [data] }).output();
    }
  },
});

Deno.test("asStorageError() words the system's errors", async () => {
  const full = await Deno.open("/dev/full", { write: true });
  const error = await full.write(new Uint8Array(1)).then(() => undefined, (reason: unknown) => reason);
  full.close();
  const worded = asStorageError(error, "Cannot write");
  assert(worded instanceof DatasetError);
  assertEquals(worded.message, "Cannot write: the disk is full");
  const denied = asStorageError(new Deno.errors.PermissionDenied("x"), "Cannot write");
  assert(denied instanceof DatasetError);
  assertEquals(denied.message, "Cannot write: the data folder is not writable");
  const other = new Error("ours");
  assertEquals(asStorageError(other, "Cannot write"), other);
});

Deno.test("a worker can use the registry beside the main thread", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = await withPets(folder);
  await folder.write("image.png", await png({ width: 4, height: 4 }, "#102030"));
  const channel = new BroadcastChannel(crypto.randomUUID());
  const answer = new Promise<unknown>((resolve) => channel.onmessage = ({ data }) => resolve(data));
  const url = new URL("registry_worker.ts", import.meta.url);
  url.searchParams.set("channel", channel.name);
  url.searchParams.set("dataDir", folder.join("data"));
  url.searchParams.set("image", folder.join("image.png"));
  const worker = new Worker(url, { type: "module" });
  try {
    const [here, there] = await Promise.all([registry.load("mnist", "test"), answer]);
    assertEquals(there, { mnist: here.count, pets: 6, pixel: [16, 32, 48] });
  } finally {
    worker.terminate();
    channel.close();
  }
});
