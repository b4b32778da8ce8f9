/** `reproduce` against the real server, over an engine without a GPU. */
import { join } from "node:path";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { digits, FakeCatalog } from "../support/fake_catalog.ts";
import { brokenSeeds } from "../support/fake_engine.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../support/test_server.ts";
import { until } from "../support/until.ts";
import { type Circumstances, jsonLines, type Outcome, runCommand } from "./harness.ts";

/** Has every network, and CIFAR-10. */
class PaperCatalog extends FakeCatalog {
  override describeModel(spec: { name: string }, size: Parameters<FakeCatalog["describeModel"]>[1], classes: number) {
    return { ...super.describeModel({ name: "lm-resnet-20" }, size, classes), name: spec.name };
  }

  override listDatasets() {
    return Promise.resolve([digits, cifar10]);
  }

  override describeDataset(name: string) {
    return name === cifar10.name ? Promise.resolve(cifar10) : super.describeDataset(name);
  }
}

const cifar10 = { ...digits, name: "cifar10", images: { train: 50_000, test: 10_000 } };

type Run = (line: string, circumstances?: Circumstances) => Promise<Outcome>;

interface Place {
  readonly run: Run;
  readonly server: TestServer;
  /** Where reports go. */
  readonly folder: string;
}

async function withServer(options: TestServerOptions, test: (place: Place) => Promise<void>): Promise<void> {
  await using server = await startTestServer({ catalog: new PaperCatalog(), ...options });
  const run: Run = (line, more) => runCommand(line.split(" "), { server: server.address, ...more });
  await test({ run, server, folder: join(server.dataDir, "report") });
}

const reproduce = "reproduce cifar10-depth --rows 20 --epochs 2";

interface ReportFile {
  readonly runs_done: number;
  readonly networks: {
    readonly network: string;
    readonly error_percent?: { readonly count: number; readonly mean: number };
    readonly runs: { readonly run: string; readonly state: string; readonly status_message: string }[];
  }[];
}

async function readReport(folder: string): Promise<ReportFile> {
  return JSON.parse(await Deno.readTextFile(join(folder, "report.json")));
}

async function runNames(run: Run): Promise<unknown[]> {
  return jsonLines(await run("runs list --json")).map(({ name }) => name);
}

async function stateOf(run: Run, name: unknown): Promise<unknown> {
  return jsonLines(await run(`runs get ${name} --json`))[0].state;
}

Deno.test("reproduce trains both networks of a row with each seed and writes its reports", async () => {
  await withServer({}, async ({ run, folder, server }) => {
    const outcome = await run(`${reproduce} --seeds 2 --output ${folder}`);
    assertEquals(outcome.code, 0);
    assertMatch(outcome.stdout, /^20 +resnet-20 +3\.00 +0\.00 +2 +8\.75 \[c\] +432 +100\.0$/m);
    assertEquals(server.engine.trainings, 4);
    const report = await readReport(folder);
    assertEquals(report.networks.map(({ network, error_percent }) => [network, error_percent?.count]), [
      ["resnet-20", 2],
      ["lm-resnet-20", 2],
    ]);
    assertStringIncludes(await Deno.readTextFile(join(folder, "report.md")), "8.33 [c]");
    assertStringIncludes(await Deno.readTextFile(join(folder, "curves.svg")), "lm-resnet-20");
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(names, ["curves.svg", "report.json", "report.md"]);
  });
});

Deno.test("reproduce, given again, reads what is done and trains what is not", async () => {
  await withServer({}, async ({ run, folder, server }) => {
    await run(`${reproduce} --seeds 1 --output ${folder}`);
    const first = await readReport(folder);
    const again = await run(`${reproduce} --seeds 2 --output ${folder} --json`);
    assertEquals(server.engine.trainings, 4);
    const second = await readReport(folder);
    assertEquals(
      second.networks.map(({ runs }) => runs[0].run),
      first.networks.map(({ runs }) => runs[0].run),
    );
    const { kind, runs_done, networks } = jsonLines(again).at(-1) ?? {};
    assertEquals([kind, runs_done, (networks as unknown[]).length], ["report", 4, 2]);
    await run(`${reproduce} --seeds 1 --epochs 3 --output ${folder}`);
    assertEquals(server.engine.trainings, 6);
  });
});

Deno.test("reproduce leaves its run to the server when interrupted, and takes it up again", async () => {
  await withServer({ fake: { stepTime: 400 } }, async ({ run, folder, server }) => {
    let interrupt = () => {};
    const command = `${reproduce} --seeds 1 --output ${folder}`;
    const left = await run(command, {
      onStart: (given) => interrupt = given,
      onStderr: (text) => text.startsWith("Run 1 of 2") && interrupt(),
    });
    assertEquals(left.code, 130);
    const [name] = await runNames(run);
    assertStringIncludes(left.stderr, `${name} goes on, and starts no other`);
    assertStringIncludes(left.stderr, `./multistep watch ${name}`);
    await run(`runs pause ${name}`);
    await until(async () => await stateOf(run, name) === "PAUSED");
    server.engine.options.stepTime = 1;
    const outcome = await run(command);
    assertEquals(outcome.code, 0);
    assertEquals((await runNames(run)).length, 2);
    assertEquals((await readReport(folder)).networks[0].runs[0].run, String(name));
    assertEquals(server.engine.activeTrainings, 0);
  });
});

Deno.test("reproduce resumes a run that is about to be paused", async () => {
  await withServer({ fake: { stepTime: 400 } }, async ({ run, folder, server }) => {
    let interrupt = () => {};
    const command = `${reproduce} --seeds 1 --output ${folder}`;
    await run(command, {
      onStart: (given) => interrupt = given,
      onStderr: (text) => text.startsWith("Run 1 of 2") && interrupt(),
    });
    await until(async () => await stateOf(run, "latest") === "RUNNING");
    assertEquals(jsonLines(await run("runs pause latest --json"))[0].state, "PAUSING");
    server.engine.options.stepTime = 1;
    const outcome = await run(command);
    assertEquals(outcome.code, 0);
    assertStringIncludes(outcome.stderr, "is PAUSED");
  });
});

Deno.test("reproduce trains the rest when a run fails, tells of it, and trains it anew once it is deleted", async () => {
  await withServer({}, async ({ run, folder, server }) => {
    const engine = server.engine;
    const { train } = engine;
    engine.train = function (job, signal, pause) {
      const isFirst = engine.trainings === 0;
      const seed = isFirst ? brokenSeeds.diverged : job.config.seed;
      return train.call(this, { ...job, config: { ...job.config, seed } }, signal, pause);
    };
    const failed = await run(`${reproduce} --seeds 1 --output ${folder}`);
    assertEquals(failed.code, 1);
    assertStringIncludes(failed.stderr, "1 of 2 runs did not succeed");
    const [residual, multistep] = (await readReport(folder)).networks;
    assertEquals([residual.runs[0].state, residual.runs[0].status_message], ["FAILED", "The loss became NaN"]);
    assertEquals([residual.error_percent, multistep.error_percent?.count], [undefined, 1]);

    assertEquals((await run(`${reproduce} --seeds 1 --output ${folder}`)).code, 1);
    await run(`runs delete ${residual.runs[0].run}`);
    assertEquals((await run(`${reproduce} --seeds 1 --output ${folder}`)).code, 0);
    assertEquals(engine.trainings, 3);
  });
});

Deno.test("reproduce trains the rest when the server does not take a run", async () => {
  await withServer({}, async ({ run, folder, server }) => {
    const engine = server.engine;
    const check = engine.check.bind(engine);
    engine.check = (config) => check({ ...config, batchSize: config.model.name === "resnet-20" ? 4000 : 64 });
    const outcome = await run(`${reproduce} --seeds 1 --output ${folder}`);
    assertEquals(outcome.code, 1);
    const [residual, multistep] = (await readReport(folder)).networks;
    assertEquals([residual.runs[0].state, residual.runs[0].status_message], ["REFUSED", "The batch does not fit"]);
    assertEquals(multistep.error_percent?.count, 1);
  });
});

Deno.test("reproduce --dry-run shows the plan and starts nothing", async () => {
  await withServer({}, async ({ run, folder, server }) => {
    const before = await run(`${reproduce} --dry-run --output ${folder}`);
    assertMatch(before.stdout, /^20 +lm-resnet-20 +cifar10 +1-3 +2 +1 +128 +0\.0001$/m);
    assertStringIncludes(before.stdout, "6 runs; the server has no run yet to judge by");
    await run("train --model lm-resnet-20 --dataset digits");
    const after = await run(`${reproduce} --seeds 1 --dry-run --limit-train 400 --limit-test 300`);
    // 2 runs of 2 epochs of 400 + 300 / 3 images, at 100 a second.
    assertMatch(after.stdout, /2 runs; all of them take about 20s, judged by runs\/\w+/);
    const planned = jsonLines(await run(`${reproduce} --seeds 1 --dry-run --json`));
    assertEquals(planned.map(({ kind, model, seed }) => [kind, model, seed]), [
      ["planned_run", "resnet-20", 1],
      ["planned_run", "lm-resnet-20", 1],
    ]);
    assertEquals(server.engine.trainings, 1);
    assertEquals([...Deno.readDirSync(server.dataDir)].some(({ name }) => name === "report"), false);
  });
});

Deno.test("reproduce says what is wrong in one sentence", async () => {
  await withServer({ catalog: new FakeCatalog() }, async ({ run }) => {
    for (
      const [line, code, words] of [
        ["reproduce", 2, "Argument TABLE is missing"],
        ["reproduce cifar11", 2, "must be one of cifar10-depth, cifar100-resnext, stochastic-depth, imagenet"],
        ["reproduce imagenet --rows 152", 2, 'which are 50, 101, not "152"'],
        ["reproduce cifar10-depth --seeds 0", 2, "--seeds must be a whole number from 1 to 100"],
        ["reproduce cifar10-depth", 1, 'make it with "./multistep datasets import cifar10 PATH"'],
        ["reproduce imagenet", 1, 'import imagenet PATH --streamed"'],
        ["reproduce cifar10-depth --dataset emnist", 1, 'Cannot find data set "emnist": the server has digits'],
      ] as const
    ) {
      const outcome = await run(line);
      assertEquals([outcome.code, outcome.stdout], [code, ""]);
      assertMatch(outcome.stderr, /^multistep: .+\n$/);
      assertStringIncludes(outcome.stderr, words);
    }
  });
  await withServer({}, async ({ run, server }) => {
    const blocked = join(server.dataDir, "file");
    await Deno.writeTextFile(blocked, "");
    const outcome = await run(`${reproduce} --output ${blocked}`);
    assertEquals(outcome.code, 1);
    assertStringIncludes(outcome.stderr, `Cannot write "${blocked}"`);
    assertEquals(server.engine.trainings, 0);
  });
});
