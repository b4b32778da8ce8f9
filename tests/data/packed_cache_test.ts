import { assert, assertEquals, assertRejects } from "@std/assert";
import { clearAbandonedStaging } from "../../src/data/cache/staging.ts";
import { DatasetError, DatasetRegistry } from "../../src/data/mod.ts";
import { fileNames, TemporaryFolder, writeImageFolder } from "./fixtures.ts";

Deno.test("clearAbandonedStaging() spares what another import of a living process writes", async () => {
  await using folder = await TemporaryFolder.create();
  const pid = 2 ** 22 + 1; // Past the largest that Linux gives.
  const fresh = `.importing-pets-${Deno.pid}-0123abcd`;
  const old = `.importing-pets-${Deno.pid}-0123abce`;
  const dead = `.importing-pets-${pid}-0123abcf`;
  for (const name of [fresh, old, dead]) await folder.write(`${name}/train.pixels`, "x");
  for (const path of [old, `${old}/train.pixels`]) await Deno.utime(folder.join(path), 0, 0);
  await folder.write("pets/train.pixels", "x");
  await clearAbandonedStaging(folder.path);
  assertEquals(await fileNames(folder.path), [fresh, "pets"]);
  await clearAbandonedStaging(folder.join("nowhere"));
});

Deno.test("load() refuses an imported data set whose files were changed, and says how", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.join("data"));
  const source = await writeImageFolder(folder, "source");
  await registry.import("pets", source, { height: 4, width: 4, channels: 3 });
  const path = (file: string) => folder.join("data/datasets/pets", file);
  const remedy = "remove datasets/pets from the data folder and import it again";

  const expectDamage = async (problem: string, run: () => Promise<unknown>) => {
    const error = await assertRejects(run, DatasetError);
    assertEquals([error.kind, error.message], ["damaged", `Data set "pets" is damaged: ${problem}; ${remedy}`]);
  };
  const changed = async (file: string, change: (bytes: Uint8Array) => Uint8Array, check: () => Promise<void>) => {
    const bytes = await Deno.readFile(path(file));
    await Deno.writeFile(path(file), change(bytes.slice()));
    await check();
    await Deno.writeFile(path(file), bytes);
  };
  const flip = (bytes: Uint8Array) => {
    bytes[bytes.length >> 1] ^= 1;
    return bytes;
  };
  const json = (change: (manifest: Record<string, unknown>) => void) => (bytes: Uint8Array) => {
    const manifest = JSON.parse(new TextDecoder().decode(bytes));
    change(manifest);
    return new TextEncoder().encode(JSON.stringify(manifest));
  };

  await changed("train.pixels", flip, async () => {
    await expectDamage(
      "the checksum of train.pixels is not the one it was written with",
      () => registry.load("pets", "train"),
    );
    await registry.load("pets", "test");
  });
  await changed(
    "test.labels",
    flip,
    () =>
      expectDamage(
        "the checksum of test.labels is not the one it was written with",
        () => registry.load("pets", "test"),
      ),
  );
  await changed("train.pixels", (bytes) => bytes.subarray(0, 100), async () => {
    await expectDamage("train.pixels has 100 bytes instead of 288", () => registry.describe("pets"));
    // The others can still be used.
    assertEquals((await registry.list()).map(({ name }) => name), ["mnist"]);
    await assertRejects(() => registry.import("pets", source), DatasetError, "of that name");
  });
  await changed(
    "description.json",
    (bytes) => bytes.subarray(0, 200),
    () => expectDamage("description.json is not whole", () => registry.describe("pets")),
  );
  await changed(
    "description.json",
    json((manifest) => manifest.format = 3),
    () =>
      expectDamage(
        "description.json has format 3, this version reads formats 1 and 2",
        () => registry.describe("pets"),
      ),
  );
  await changed(
    "description.json",
    json((manifest) => (manifest.description as { name: string }).name = "cats"),
    () => expectDamage('description.json is that of data set "cats"', () => registry.describe("pets")),
  );
  await changed(
    "description.json",
    json((manifest) => (manifest.description as { width: number }).width = 5),
    () => expectDamage('description.json has no valid "files.train.pixels"', () => registry.describe("pets")),
  );
  await changed(
    "description.json",
    json((manifest) => delete manifest.origin),
    () => expectDamage('description.json has no valid "origin"', () => registry.describe("pets")),
  );
  await Deno.remove(path("test.pixels"));
  await expectDamage("test.pixels is missing", () => registry.describe("pets"));
});

Deno.test("mnist is packed once and used again; a damaged or outdated copy is packed anew", async () => {
  await using folder = await TemporaryFolder.create();
  const registry = new DatasetRegistry(folder.join("data"));
  const path = (file: string) => folder.join("data/datasets/mnist", file);
  const modified = async () => (await Deno.stat(path("train.pixels"))).ino;
  const whole = await registry.load("mnist", "train");
  const first = await modified();
  assertEquals(await new DatasetRegistry(folder.join("data")).load("mnist", "train"), whole);
  assertEquals(await modified(), first);

  const bytes = await Deno.readFile(path("train.pixels"));
  bytes[1000] ^= 1;
  await Deno.writeFile(path("train.pixels"), bytes);
  assertEquals(await registry.load("mnist", "train"), whole);

  await Deno.truncate(path("train.labels"), 10);
  assertEquals((await registry.describe("mnist")).images.train, 8000);
  assertEquals(await registry.load("mnist", "train"), whole);

  await Deno.writeTextFile(path("description.json"), (await Deno.readTextFile(path("description.json"))).slice(0, -50));
  assertEquals((await registry.describe("mnist")).images.train, 8000);

  const outdated = (await Deno.readTextFile(path("description.json"))).replace("split 1", "split 0");
  await Deno.writeTextFile(path("description.json"), outdated);
  await registry.describe("mnist");
  assert((await Deno.readTextFile(path("description.json"))).includes("split 1"));
  assertEquals(await fileNames(folder.join("data", "datasets")), ["mnist"]);
});

Deno.test("mnist asked for by several registries at once is whole for all of them", async () => {
  await using folder = await TemporaryFolder.create();
  const splits = await Promise.all(
    [1, 2, 3].flatMap(() => {
      const registry = new DatasetRegistry(folder.join("data"));
      return [registry.load("mnist", "test"), registry.load("mnist", "test")];
    }),
  );
  for (const split of splits) assertEquals(split, splits[0]);
  assertEquals(await fileNames(folder.join("data", "datasets")), ["mnist"]);
});
