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

Deno.test("runs pause, resume, restart, list --state and delete steer runs", async () => {
  await withServer({ fake: { stepTime: 10 } }, async (run) => {
    const state = async (command: string) => jsonLines(await run(`runs ${command} --json`)).at(-1)?.state;
    const reach = async (name: unknown, wanted: string) => {
      while (await state(`get ${name}`) !== wanted);
    };
    const [{ run: first }] = jsonLines(await run(`${train} --epochs 50 --detach --json`));
    await reach(first, "RUNNING");
    assert(["PAUSING", "PAUSED"].includes(String(await state("pause latest"))));
    await reach(first, "PAUSED");
    const text = await run("runs pause latest");
    assertMatch(text.stdout, /^runs\/\w+ is PAUSED.*: Paused on request\n$/);
    const [restarted] = jsonLines(await run(`runs restart ${first} --json`));
    assert(restarted.name !== first);
    assertEquals(restarted.config, jsonLines(await run(`runs get ${first} --json`))[0].config);
    const listed = async (states: string) =>
      jsonLines(await run(`runs list --state ${states} --json`)).map(({ name }) => name);
    assertEquals(await listed("paused"), [first]);
    assertEquals(await listed("queued,running,paused"), [restarted.name, first]);
    assertMatch((await run("runs list --state failed")).stdout, /^No run is in that state\n$/);

    const refused = await run(`runs delete ${restarted.name}`);
    assertEquals(refused.code, 1);
    assertMatch(refused.stderr, /^multistep: Run "runs\/\w+" is \w+; cancel or pause it, and delete it when/);
    await run(`runs cancel ${restarted.name}`);
    assertEquals(await state(`resume ${first}`), "RUNNING");
    assertEquals((await run(`runs cancel ${first}`)).code, 0);
    await reach(first, "CANCELLED");
    assertEquals(jsonLines(await run(`runs delete ${first} --json`)), [{ run: String(first), deleted: true }]);
    assertEquals((await run(`runs get ${first}`)).code, 1);
  });
});

Deno.test("models export writes the file whole, or leaves what was there", async () => {
  await withServer({ fake: { everyEpoch: true } }, async (run, { dataDir, engine }) => {
    await run(`${train} --epochs 14`);
    const output = join(dataDir, "model.safetensors");
    await Deno.writeTextFile(output, "what was there");
    const [all] = jsonLines(await run(`models export latest --output ${output} --optimizer-state --json`));
    const { bytes, sha256, step, checkpoint } = all;
    const file = await Deno.readFile(output);
    assertEquals(file, await Deno.readFile(join(dataDir, String(checkpoint))));
    assertEquals([step, bytes, sha256], [
      14 * stepsPerEpoch,
      file.length,
      new Uint8Array(await crypto.subtle.digest("SHA-256", file)).toHex(),
    ]);
    const [best] = jsonLines(await run(`models export latest --output ${output} --checkpoint best --json`));
    assertEquals(best.step, stepsPerEpoch);
    const weights = await Deno.readTextFile(output);
    assertEquals(weights, String(JSON.parse(await Deno.readTextFile(join(dataDir, String(best.checkpoint)))).weights));

    const text = await run(`models export latest --output ${output} --checkpoint ${checkpoint}`);
    assertMatch(text.stdout, /^Wrote runs\/.+ to .+ \(\d+ B, SHA-256 [0-9a-f]{64}\)\n$/);
    await Deno.writeTextFile(output, "what was there");
    engine.exportModel = ({ checkpoint: path }) => Promise.resolve({ path, bytes: 5, sha256: "0".repeat(64) });
    const wrong = await run(`models export latest --output ${output} --checkpoint best --optimizer-state`);
    assertEquals(wrong.code, 1);
    assertStringIncludes(wrong.stderr, "The file that came is not the server's");
    assertEquals(await Deno.readTextFile(output), "what was there");
    for (const path of [join(dataDir, "nowhere", "model"), dataDir]) {
      const { code, stderr } = await run(`models export latest --output ${path} --optimizer-state`);
      assertEquals(code, 1);
      assertMatch(stderr, /^multistep: Cannot write ".+: (its folder does not exist|it is a folder)\n$/m);
    }
    const partial = [...Deno.readDirSync(dataDir)].filter(({ name }) => name.includes("partial"));
    assertEquals(partial, []);
  });
});

Deno.test("watch says what the server has not kept, and goes on with what it has", async () => {
  await withServer({ runs: { keptEvents: 20, metricsInterval: 0 } }, async (run) => {
    const trained = jsonLines(await run(`${train} --epochs 20 --json`));
    const outcome = await run("watch latest --json");
    const lines = jsonLines(outcome);
    const { sequence } = lines[0];
    assert(Number(sequence) > 20);
    assertStringIncludes(outcome.stderr, `The server has not kept the events before ${sequence}`);
    assertEquals(lines, trained.slice(-lines.length));
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

Deno.test("watch goes on when the server starts again, and so does the run", async () => {
  const dataDir = await Deno.makeTempDir();
  const first = await startTestServer({ dataDir, fake: { stepTime: 50 } });
  let second: Promise<TestServer> | undefined;
  await runCommand([...train.split(" "), "--epochs", "5", "--detach"], { server: first.address });
  const outcome = await runCommand(["watch", "latest", "--json"], {
    server: first.address,
    onStderr(text) {
      if (text.includes("RUNNING")) {
        second ??= first.stop().then(() => startTestServer({ dataDir, listen: first.address }));
      }
    },
  });
  assertStringIncludes(outcome.stderr, "Lost the connection; trying again");
  const lines = jsonLines(outcome);
  assertEquals([outcome.code, lines.at(-1)?.state, lines.at(-1)?.step], [0, "SUCCEEDED", 5 * stepsPerEpoch]);
  const events = lines.slice(0, -1);
  assertEquals(events.map(({ sequence }) => sequence), events.map((_, index) => index + 1));
  assertEquals(events.at(-1)?.attempt, 2);
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

Deno.test("models import names a checkpoint that infer, eval, train and models export take", async () => {
  await withServer({}, async (run, { dataDir, engine }) => {
    const weights = join(dataDir, "My_Weights.pt.safetensors");
    await Deno.writeTextFile(weights, "");
    const given = "--image 4x4x1 --mean 0.5 --std 0.25 --classes zero,one,two,three";
    const [imported] = jsonLines(await run(`models import ${weights} --model lm-resnet-20 ${given} --json`));
    const path = "models/my-weights-pt.safetensors";
    assertEquals(imported.path, path);
    assertEquals((imported.model as { input: unknown; classes: number }).classes, 4);
    const { source, network } = JSON.parse(await Deno.readTextFile(join(dataDir, path)));
    const { mean, channels, classNames } = network.trainedOn;
    assertEquals([source, mean, channels, classNames.length], [await Deno.realPath(weights), [0.5], 1, 4]);
    const text = await run(`models import ${weights} --model lm-resnet-20 --dataset digits --name other`);
    assertMatch(text.stdout, /^Imported lm-resnet-20 of 432 parameters and 4 classes as models\/other\.safetensors \(/);

    const png = await writePng(join(dataDir, "three.png"), 3);
    const [three] = jsonLines(await run(`infer --checkpoint ${path} ${png} --json`));
    assertEquals((three.top as { class_name: string }[])[0].class_name, "three");
    assertEquals((await run(`eval --checkpoint ${path}`)).code, 0);
    assertEquals(engine.evaluations[0].checkpoint, path);
    for (const choice of ["", ` --run latest --checkpoint ${path}`]) {
      const { code, stderr } = await run(`infer${choice} ${png}`);
      assertEquals(code, 2);
      assertStringIncludes(stderr, "Give either --run RUN or --checkpoint FILE");
    }

    assertEquals((await run(`${train} --from ${path}`)).code, 0);
    const [trained] = jsonLines(await run("runs get latest --json"));
    assertEquals((trained.config as { initial_checkpoint?: string }).initial_checkpoint, path);
    const output = join(dataDir, "state_dict.safetensors");
    const exported = jsonLines(
      await run(`models export --checkpoint ${path} --format pytorch --output ${output} --json`),
    );
    assertEquals([exported[0].checkpoint, exported[0].run], [path, undefined]);
    assertMatch(await Deno.readTextFile(output), /^pytorch /);
    assertEquals((await run(`models export --output ${output}`)).code, 2);
  });
});
