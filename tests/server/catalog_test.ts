import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { UnknownDatasetError } from "../../src/data/mod.ts";
import { ModelError, schemeNames } from "../../src/models/mod.ts";
import { createCatalog } from "../../src/server/mod.ts";

Deno.test("createCatalog() knows the data sets of the data folder", async () => {
  const dataDir = Deno.makeTempDirSync();
  const catalog = createCatalog(dataDir);
  const { images } = await catalog.describeDataset("mnist");
  assertEquals(images, { train: 8000, test: 2000 });
  assertEquals((await catalog.listDatasets()).map(({ name }) => name), ["mnist"]);
  await assertRejects(() => catalog.describeDataset("cats"), UnknownDatasetError, "mnist");
  Deno.removeSync(dataDir, { recursive: true });
});

Deno.test("createCatalog() describes every scheme once", async () => {
  const catalog = createCatalog("unused");
  const schemes = await catalog.describeSchemes();
  assertEquals(schemes.map(({ scheme }) => scheme), [...schemeNames]);
  assertEquals(await catalog.describeSchemes() === schemes, true);
});

Deno.test("createCatalog() knows the models", () => {
  const catalog = createCatalog("unused");
  const input = { height: 32, width: 32, channels: 3 } as const;
  const description = catalog.describeModel({ name: "lm-resnet-20" }, input, 10);
  assertEquals([description.name, description.classes], ["lm-resnet-20", 10]);
  assertEquals(catalog.modelFamilies().some(({ pattern }) => pattern === "lm-resnet-N"), true);
  assertThrows(() => catalog.describeModel({ name: "lm-resnet-21" }, input, 10), ModelError, "lm-resnet-20");
});
