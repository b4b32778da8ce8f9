/** The commands against the real server, over an engine without a GPU. */
import { join } from "node:path";
import sharp from "sharp";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startServer } from "../../src/server/mod.ts";
import { FakeCatalog } from "../support/fake_catalog.ts";
import { FakeEngine, stepsPerEpoch } from "../support/fake_engine.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../support/test_server.ts";
import { type Circumstances, jsonLines, type Outcome, runCommand } from "./harness.ts";

type Run = (line: string, circumstances?: Circumstances) => Promise<Outcome>;

async function withServer(
  options: TestServerOptions,
  test: (run: Run, server: TestServer) => Promise<void>,
): Promise<void> {
  await using server = await startTestServer(options);
  await test((line, more) => runCommand(line.split(" "), { server: server.address, ...more }), server);
}

async function writePng(path: string, grey: number): Promise<string> {
  await sharp({ create: { width: 4, height: 4, channels: 3, background: { r: grey, g: grey, b: grey } } }).png()
    .toFile(path);
  return path;
}

const train = "train --model lm-resnet-20 --dataset digits";

Deno.test("train, watch, runs, eval and infer work with the server", async () => {
  await withServer({}, async (run, { dataDir }) => {
    const trained = jsonLines(await run(`${train} --epochs 2 --json`));
    const last = trained.at(-1)!;
    assertEquals([last.kind, last.state, last.top1, last.step], ["run", "SUCCEEDED", 0.97, 2 * stepsPerEpoch]);
    const events = trained.slice(0, -1);
    assertEquals(events.map((event) => event.sequence), events.map((_, index) => index + 1));
    const replayed = jsonLines(await run("watch latest --json"));
    assertEquals(replayed, trained);

    const [listed] = jsonLines(await run("runs list --json"));
    assertEquals([listed.name, listed.state], [last.run, "SUCCEEDED"]);
    assertEquals((listed.config as { batch_size: number }).batch_size, 64);
    assertEquals((await run(`runs get ${last.run}`)).code, 0);

    const [evaluated] = jsonLines(await run("eval --run latest --limit 50 --json"));
    assertEquals([evaluated.top1, evaluated.images], [0.75, 50]);

    const good = await writePng(join(dataDir, "two.png"), 2);
    const bad = join(dataDir, "bad.png");
    await Deno.writeTextFile(bad, "not an image");
    const inferred = await run(`infer --run latest ${bad} ${good} --json`);
    assertEquals(inferred.code, 1);
    const [broken, two] = jsonLines(inferred);
    assertEquals([broken.file, typeof broken.error], [bad, "string"]);
    assertEquals((two.top as { class_name: string }[])[0].class_name, "two");
  });
});

Deno.test("runs cancel ends a run that train --detach left", async () => {
  await withServer({ fake: { stepTime: 10_000 } }, async (run) => {
    const [detached] = jsonLines(await run(`${train} --detach --json`));
    assert(["QUEUED", "RUNNING"].includes(String(detached.state)));
    assertEquals((await run(`runs cancel ${detached.run}`)).code, 0);
    const watched = await run("watch latest --json");
    assertEquals([watched.code, jsonLines(watched).at(-1)?.state], [1, "CANCELLED"]);
    const again = await run("runs cancel latest");
    assertEquals(again.code, 1);
    assertMatch(again.stderr, /^multistep: .*CANCELLED.*\n$/);
  });
});

Deno.test("train shows what the server finds wrong with a request", async () => {
  await withServer({}, async (run) => {
    for (
      const [line, words] of [
        ["train --model lm-resnet-21 --dataset digits", "there are lm-resnet-20"],
        ["train --model lm-resnet-20 --dataset emnist", "emnist"],
        [`${train} --batch-size 4000`, "does not fit"],
      ]
    ) {
      const { code, stdout, stderr } = await run(line);
      assertEquals([code, stdout], [1, ""]);
      assertMatch(stderr, /^multistep: .+\n$/);
      assertStringIncludes(stderr, words);
    }
  });
});

Deno.test("infer reports a file past the server's message limit, and goes on", async () => {
  await withServer({ limits: { messageBytes: 10_000 } }, async (run, { dataDir }) => {
    await run(train);
    const large = join(dataDir, "large.png");
    await Deno.writeFile(large, new Uint8Array(50_000));
    const good = await writePng(join(dataDir, "one.png"), 1);
    const outcome = await run(`infer --run latest ${large} ${good} --json`);
    assertEquals(outcome.code, 1);
    assertEquals(jsonLines(outcome).map((line) => "error" in line), [true, false]);
  });
});

Deno.test("watch goes on when the server starts again", async () => {
  const dataDir = await Deno.makeTempDir();
  const first = await startTestServer({ dataDir, fake: { stepTime: 10_000 } });
  let second: Promise<TestServer> | undefined;
  await runCommand([...train.split(" "), "--detach"], { server: first.address });
  const outcome = await runCommand(["watch", "latest", "--json"], {
    server: first.address,
    onStderr(text) {
      if (text.includes("RUNNING")) {
        second ??= first.stop().then(() => startTestServer({ dataDir, listen: first.address }));
      }
    },
  });
  // The server that stopped failed the run; that is told over either connection.
  assertEquals([outcome.code, jsonLines(outcome).at(-1)?.state], [1, "FAILED"]);
  await (await second)?.stop();
  await Deno.remove(dataDir, { recursive: true });
});

Deno.test("demo does its job with the server", async () => {
  const dataDir = await Deno.makeTempDir();
  class DigitsAsMnist extends FakeCatalog {
    override describeDataset() {
      return super.describeDataset("digits");
    }
  }
  const outcome = await runCommand(["demo", "--json"], {
    dataDir,
    local: {
      serve: ({ importFolders: _, ...options }) =>
        startServer({ ...options, engine: (folder) => new FakeEngine(folder), catalog: new DigitsAsMnist() }),
      async exampleImages(folder) {
        return [{ path: await writePng(join(folder, "three.png"), 3), label: "three" }];
      },
    },
  });
  assertEquals([outcome.code, outcome.stderr.includes("error")], [0, false]);
  const lines = jsonLines(outcome);
  const { top1, run, seconds } = lines.at(-1)!;
  assertEquals([top1, typeof run, typeof seconds], [0.75, "string", "number"]);
  const prediction = lines.find((line) => line.kind === "prediction");
  assertEquals((prediction?.top as { class_name: string }[])[0].class_name, "three");
  await Deno.remove(dataDir, { recursive: true });
});
