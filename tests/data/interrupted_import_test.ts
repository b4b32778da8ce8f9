/** Imports that are killed or aborted half-way, and asked for again. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { parquetWriteBuffer } from "hyparquet-writer";
import { DatasetRegistry, type ImportOptions, type ImportReport, UnknownDatasetError } from "../../src/data/mod.ts";
import { cifar10Files, fileNames, png, tar, tarMember, TemporaryFolder } from "./fixtures.ts";
import { zip } from "./zip_fixture.ts";

/** A mebibyte holds six of them packed, so imports of a few images have chunks. */
const SIZE = { height: 224, width: 224 } as const;
/** Images to train a class. */
const COUNT = 20;

interface Picture {
  readonly path: string;
  readonly label: number;
  readonly bytes: Uint8Array;
}

/** Each image has a colour of its own; every fifth one is cut off. */
async function pictures(): Promise<Picture[]> {
  const made: Picture[] = [];
  for (const [split, count] of [["train", COUNT], ["test", 8]] as const) {
    for (let i = 0; i < count; i++) {
      for (const [label, name] of ["cat", "dog"].entries()) {
        const bytes = await png({ width: 12, height: 10 }, `rgb(${i}, ${label * 90}, ${split === "train" ? 5 : 200})`);
        made.push({ path: `${split}/${name}/${i}.png`, label, bytes: i % 5 === 3 ? bytes.subarray(0, 50) : bytes });
      }
    }
  }
  return made;
}

async function writePictures(folder: TemporaryFolder): Promise<string> {
  for (const { path, bytes } of await pictures()) await folder.write(`source/${path}`, bytes);
  return folder.join("source");
}

/** The content of all files of a data set, by name. */
async function contents(dataDir: string, name: string): Promise<Record<string, string>> {
  const path = join(dataDir, "datasets", name);
  const files: Record<string, string> = {};
  for (const file of await fileNames(path)) files[file] = (await Deno.readFile(join(path, file))).toBase64();
  return files;
}

/** Imports, and tells the first progress and the report. */
async function observe(registry: DatasetRegistry, source: string, options: ImportOptions) {
  const progress: number[] = [];
  const reports: ImportReport[] = [];
  await registry.import("pets", source, {
    ...SIZE,
    ...options,
    onProgress: (done) => void progress.push(done),
    onReport: (report) => void reports.push(report),
  });
  return { first: progress[0], report: reports[0] };
}

/** Stops an import once at least so many images are done. */
async function interrupt(registry: DatasetRegistry, source: string, after: number, options: ImportOptions = {}) {
  const controller = new AbortController();
  const reason = new Error("stopped");
  const onProgress = (done: number) => done >= after && controller.abort(reason);
  const importing = registry.import("pets", source, { ...SIZE, ...options, signal: controller.signal, onProgress });
  await assertRejects(() => importing, Error, "stopped");
}

async function leftOver(folder: TemporaryFolder): Promise<string[]> {
  return (await fileNames(folder.join("data", "datasets"))).map((name) => name.replace(/-\d+-[0-9a-f]{8}$/, ""));
}

for (const kind of ["packed", "streamed"]) {
  Deno.test(`a ${kind} import that was killed goes on where it was, and ends as if nothing had been`, async () => {
    await using folder = await TemporaryFolder.create();
    const source = await writePictures(folder);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", new URL("import_child.ts", import.meta.url).pathname]
        .concat([folder.join("data"), "pets", source, kind]),
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();

    const registry = new DatasetRegistry(folder.join("data"));
    assertEquals(await leftOver(folder), [".importing-pets"]);
    await assertRejects(() => registry.describe("pets"), UnknownDatasetError);
    const streamed = kind === "streamed";
    const { first, report } = await observe(registry, source, { streamed });
    assertEquals(await leftOver(folder), ["pets"]);
    assert(first > COUNT / 2, `${first}`);
    const whole = new DatasetRegistry(folder.join("whole"));
    assertEquals((await observe(whole, source, { streamed })).report, report);
    assertEquals(await contents(folder.join("data"), "pets"), await contents(folder.join("whole"), "pets"));
  });
}

Deno.test("an import that is aborted over and over ends as if nothing had been, whatever the source", async () => {
  const made = await pictures();
  const shard = (split: string) =>
    tar(
      ...made.filter(({ path }) => path.startsWith(split)).flatMap(({ path, label, bytes }) => [
        tarMember(path, bytes),
        tarMember(path.replace(".png", ".cls"), String(label)),
      ]),
    );
  const table = (split: string) => {
    const rows = made.filter(({ path }) => path.startsWith(split));
    const columns = [
      { name: "image", data: rows.map(({ bytes }) => bytes), type: "BYTE_ARRAY" as const },
      // A label that cannot be used in each split.
      { name: "label", data: rows.map(({ label }, i) => i === 1 ? -1 : label), type: "INT32" as const },
    ];
    return new Uint8Array(parquetWriteBuffer({ columnData: columns, rowGroupSize: 9 }));
  };
  const sources: Record<string, (folder: TemporaryFolder) => Promise<string>> = {
    folder: writePictures,
    zip: (folder) => folder.write("pets.zip", zip(...made.map(({ path, bytes }) => ({ name: path, content: bytes })))),
    shards: async (folder) => {
      for (const split of ["train", "test"]) await folder.write(`shards/${split}.tar`, shard(split));
      return folder.join("shards");
    },
    parquet: async (folder) => {
      for (const split of ["train", "test"]) await folder.write(`tables/${split}.parquet`, table(split));
      return folder.join("tables");
    },
  };
  for (const [name, write] of Object.entries(sources)) {
    for (const streamed of [false, true]) {
      await using folder = await TemporaryFolder.create();
      const source = await write(folder);
      const registry = new DatasetRegistry(folder.join("data"));
      // Among the training images twice, then among those to test.
      for (const after of [6, 20, 36]) await interrupt(registry, source, after, { streamed });
      assertEquals(await leftOver(folder), [".interrupted-pets"], name);
      const { first, report } = await observe(registry, source, { streamed });
      assert(first > 32, `${name}: ${first}`);
      assertEquals(await leftOver(folder), ["pets"]);
      const whole = new DatasetRegistry(folder.join("whole"));
      assertEquals((await observe(whole, source, { streamed })).report, report, name);
      assertEquals(await contents(folder.join("data"), "pets"), await contents(folder.join("whole"), "pets"), name);
    }
  }
});

Deno.test("an interrupted import starts anew where the source or the options have changed", async () => {
  const changes: [string, (folder: TemporaryFolder) => Promise<unknown>, ImportOptions][] = [
    ["a file's content", async (folder) => folder.write("source/train/dog/7.png", await png(SIZE, "white")), {}],
    ["another file", async (folder) => folder.write("source/train/cat/a.png", await png(SIZE, "white")), {}],
    ["the size", () => Promise.resolve(), { height: 200 }],
    ["the order of the classes", () => Promise.resolve(), { classNames: ["dog", "cat"] }],
    ["streamed", () => Promise.resolve(), { streamed: true }],
  ];
  for (const [name, change, options] of changes) {
    await using folder = await TemporaryFolder.create();
    const source = await writePictures(folder);
    const registry = new DatasetRegistry(folder.join("data"));
    await interrupt(registry, source, 12);
    await change(folder);
    const { first } = await observe(registry, source, options);
    assert(first <= 8, `${name}: ${first}`);
    assertEquals(await leftOver(folder), ["pets"], name);
    const whole = new DatasetRegistry(folder.join("whole"));
    await observe(whole, source, options);
    assertEquals(await contents(folder.join("data"), "pets"), await contents(folder.join("whole"), "pets"), name);
  }
});

Deno.test("what an interrupted import left goes where it is damaged, or nobody came back for it", async () => {
  await using folder = await TemporaryFolder.create();
  const source = await writePictures(folder);
  const registry = new DatasetRegistry(folder.join("data"));
  const left = async () => folder.join("data", "datasets", (await fileNames(folder.join("data", "datasets")))[0]);
  for (
    const damage of [
      async (path: string) => await Deno.truncate(join(path, "train.pixels"), 10),
      async (path: string) => await Deno.writeTextFile(join(path, "journal.json"), "{"),
    ]
  ) {
    await interrupt(registry, source, 12);
    await damage(await left());
    assert((await observe(registry, source, {})).first <= 8);
    await Deno.remove(await left(), { recursive: true });
  }

  await interrupt(registry, source, 12);
  const old = await left();
  const weeksAgo = new Date(Date.now() - 14 * 24 * 3_600_000);
  for (const name of ["", ...await fileNames(old)]) await Deno.utime(join(old, name), weeksAgo, weeksAgo);
  await registry.import("others", source, SIZE);
  assertEquals(await leftOver(folder), ["others"]);
});

Deno.test("an import of an archive of arrays, which takes seconds, leaves nothing when it is aborted", async () => {
  await using folder = await TemporaryFolder.create();
  for (const [name, bytes] of Object.entries(cifar10Files())) {
    await folder.write(`cifar-10-batches-bin/${name}`, bytes);
  }
  const controller = new AbortController();
  const options = { signal: controller.signal, onProgress: () => controller.abort(new Error("stopped")) };
  const source = folder.join("cifar-10-batches-bin");
  await assertRejects(() => new DatasetRegistry(folder.join("data")).import("c", source, options), Error, "stopped");
  assertEquals(await leftOver(folder), []);
});
