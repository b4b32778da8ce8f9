/** `datasets upload`, `fetch` and `import` of a URL, against a real server. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { createCatalog } from "../../src/server/mod.ts";
import { serveFiles } from "../data/file_server.ts";
import { png, sha256, TemporaryFolder, writeImageFolder } from "../data/fixtures.ts";
import { zip } from "../data/zip_fixture.ts";
import { startTestServer, type TestServerOptions } from "../support/test_server.ts";
import { pacer } from "../../src/cli/pacer.ts";
import { jsonLines, type Outcome, runCommand } from "./harness.ts";

async function petsArchive(): Promise<Uint8Array> {
  const image = await png({ width: 4, height: 4 }, "red");
  return zip(...["train/a", "train/b", "test/a", "test/b"].map((at) => ({ name: `${at}/0.png`, content: image })));
}

/** A server with an empty data folder. */
async function withServer(
  options: TestServerOptions,
  test: (run: (...args: string[]) => Promise<Outcome>, folder: TemporaryFolder) => Promise<void>,
): Promise<void> {
  await using folder = await TemporaryFolder.create();
  const dataDir = folder.join("data");
  await using server = await startTestServer({ dataDir, catalog: createCatalog(dataDir), ...options });
  await test((...args) => runCommand(["datasets", ...args], { server: server.address }), folder);
}

Deno.test("datasets upload sends a file, and says what it refuses", async () => {
  await withServer({}, async (run, folder) => {
    const path = await folder.write("pets.zip", await petsArchive());
    const outcome = await run("upload", "pets", path, "--image", "8x8", "--classes", "b,a", "--json");
    assertEquals(outcome.code, 0, outcome.stderr);
    const [dataset, report] = jsonLines(outcome);
    assertEquals([dataset.name, dataset.class_names, dataset.train_images], ["pets", ["b", "a"], 2]);
    assertEquals(dataset.image, { height: 8, width: 8, channels: 3 });
    assertEquals(report.skipped_files, 0);
    assertStringIncludes(outcome.stderr, "Sent; the server imports it");
    const again = await run("upload", "pets", path);
    assertEquals([again.code, again.stderr.split("\n").at(-2)], [
      1,
      'multistep: Cannot import as "pets": there is a data set of that name',
    ]);
    const source = await writeImageFolder(folder, "source");
    const refused = await run("upload", "more", source);
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, "it is a folder; make a zip of what it holds and upload that");
    assertStringIncludes((await run("upload", "more", folder.join("none"))).stderr, "it does not exist");
    assertEquals((await run("upload", "more")).code, 2);
  });
});

Deno.test("datasets import has the server fetch a URL where it was started to", async () => {
  const archive = await petsArchive();
  await using files = await serveFiles({ "/pets.zip": archive });
  const args = ["import", "pets", "--from", `${files.url}/pets.zip`, "--sha256", await sha256(archive)];
  await withServer({}, async (run) => {
    const outcome = await run(...args);
    assertEquals([outcome.code, outcome.stderr], [
      1,
      'multistep: This server fetches known data sets alone: start it with "--allow-fetch public", or download the ' +
      "file yourself and upload it\n",
    ]);
    assertStringIncludes((await run("fetch", "imagenet")).stderr, "known by name are cifar10, cifar100");
  });
  await withServer({ allowFetch: "none" }, async (run) => {
    assertStringIncludes((await run("fetch", "cifar10")).stderr, "This server fetches nothing");
  });
  await withServer({ allowFetch: "public" }, async (run) => {
    assertStringIncludes((await run(...args)).stderr, "it leads to an address that is not public");
  });
  assertEquals(files.asked, []);
  await withServer({ allowFetch: "any" }, async (run) => {
    const outcome = await run(...args, "--json");
    assertEquals([outcome.code, jsonLines(outcome)[0].name], [0, "pets"], outcome.stderr);
    const plain = await run("import", "more", `${files.url}/pets.zip`);
    assertEquals(plain.code, 1);
    assertStringIncludes(plain.stderr, "an https address, or an http one with a SHA-256");
  });
});

Deno.test("datasets import that Ctrl-C ends goes on when it is given again", async () => {
  await using folder = await TemporaryFolder.create();
  const dataDir = folder.join("data");
  await using server = await startTestServer({
    dataDir,
    importFolders: [folder.path],
    catalog: createCatalog(dataDir),
  });
  const source = await writeImageFolder(folder, "source", { train: 150 });
  const args = ["datasets", "import", "pets", source, "--image", "448x448"];
  let interrupt = () => {};
  const outcome = await runCommand(args, {
    server: server.address,
    onStart: (given) => interrupt = given,
    onStderr: (text) => text.includes("imported") && interrupt(),
  });
  assertEquals(outcome.code, 130);
  assertMatch(outcome.stderr, /^Interrupted: the same command goes on where this one was$/m);
  const again = await runCommand([...args, "--json"], { server: server.address });
  assertEquals([again.code, jsonLines(again)[0].train_images], [0, 300], again.stderr);
});

Deno.test("pacer() holds a writer to four mebibytes that were not sent", async () => {
  let sent = 1000;
  const interrupted = new AbortController();
  const pace = pacer(() => sent, interrupted.signal);
  await pace(2 ** 20);
  await pace(3 * 2 ** 20);
  let isThrough = false;
  const third = pace(2 ** 20).then(() => isThrough = true);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assertEquals(isThrough, false);
  sent += 2 ** 20;
  await third;
  assert(isThrough);
  const fourth = pace(2 ** 20);
  interrupted.abort(new Error("stopped"));
  await assertRejects(() => fourth, Error);
  // The connection is gone.
  sent = 0;
  await pace(2 ** 20);
});
