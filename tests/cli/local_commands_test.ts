import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { BenchOptions, DoctorReport, LocalServer, ServeOptions } from "../../src/cli/mod.ts";
import { RunState } from "../../src/gen/mod.ts";
import { type Overrides, scriptedRun, startFakeServer } from "./fake_server.ts";
import { jsonLines, runCommand } from "./harness.ts";

function fakeLocalServer(address = "127.0.0.1:4242") {
  const server: LocalServer & { closes: number } = {
    address,
    closes: 0,
    close() {
      server.closes++;
      return Promise.resolve();
    },
  };
  return server;
}

Deno.test("serve listens where it is told, and ends in order when interrupted", async () => {
  const server = fakeLocalServer();
  let asked: ServeOptions | undefined;
  let interrupt = () => {};
  const outcome = await runCommand([
    "serve",
    "--listen",
    "0.0.0.0:0",
    "--data-dir",
    "some where",
    "--import-folders",
    "a,b c",
    "--tune",
    "off",
    "--min-free-disk",
    "1GiB",
    "--keep-events",
    "500",
    "--json",
  ], {
    onStart: (given) => interrupt = given,
    local: {
      serve(options) {
        asked = options;
        options.log('{"level":"info"}');
        setTimeout(interrupt, 5);
        return Promise.resolve(server);
      },
    },
  });
  assertEquals([asked?.listen, asked?.dataDir, asked?.importFolders], ["0.0.0.0:0", "some where", ["a", "b c"]]);
  assertEquals(asked?.tune, "off");
  assertEquals(asked?.runs, { minFreeDisk: 2 ** 30, keptEvents: 500 });
  assertEquals(jsonLines(outcome), [{ address: "127.0.0.1:4242", data_dir: "some where" }]);
  assertEquals([outcome.code, server.closes], [0, 1]);
  assertEquals(outcome.stderr.split("\n")[0], '{"level":"info"}');
});

Deno.test("serve uses the default address and data folder", async () => {
  const server = fakeLocalServer();
  let asked: ServeOptions | undefined;
  let interrupt = () => {};
  const outcome = await runCommand(["serve"], {
    dataDir: "home/data",
    onStart: (given) => interrupt = given,
    local: {
      serve(options) {
        asked = options;
        setTimeout(interrupt, 5);
        return Promise.resolve(server);
      },
    },
  });
  assertEquals([asked?.listen, asked?.dataDir, asked?.importFolders], ["127.0.0.1:50051", "home/data", []]);
  assertEquals(asked?.tune, "auto");
  assertEquals(outcome.stdout, "Listening on 127.0.0.1:4242, with data in home/data\n");
});

Deno.test("serve fails in one line when it cannot start", async () => {
  const busy = await runCommand(["serve"], {
    local: { serve: () => Promise.reject(new Error("Cannot listen on 127.0.0.1:50051: the port is in use")) },
  });
  assertEquals([busy.code, busy.stderr], [1, "multistep: Cannot listen on 127.0.0.1:50051: the port is in use\n"]);
});

Deno.test("serve leaves at once when interrupted twice, or before it listens", async () => {
  const never = new Promise<never>(() => {});
  const stuck: LocalServer = { address: "a:1", close: () => never };
  let interrupt = () => {};
  const onStart = (given: () => void) => interrupt = given;
  const twice = await runCommand(["serve"], {
    onStart,
    onStderr: (text) => text.startsWith("Stopping") && setTimeout(interrupt, 5),
    local: {
      serve() {
        setTimeout(interrupt, 5);
        return Promise.resolve(stuck);
      },
    },
  });
  assertEquals(twice.code, 130);
  const early = await runCommand(["serve"], {
    onStart,
    local: {
      serve() {
        setTimeout(interrupt, 5);
        return never;
      },
    },
  });
  assertEquals(early.code, 130);
});

const report: DoctorReport = {
  version: "0.1.0",
  denoVersion: "2.9.3",
  platform: "linux x86_64",
  adapter: {
    vendor: "mesa",
    architecture: "",
    device: "0",
    description: "llvmpipe (LLVM 15)",
    software: true,
    features: ["shader-f16", "subgroups"],
    limits: { maxBufferSize: 2147483648 },
  },
  checks: [
    { name: "deno", status: "ok", message: "2.9.3, as pinned" },
    { name: "speed", status: "warning", message: "256-bit vectors", remedy: "set LP_NATIVE_VECTOR_WIDTH=512" },
  ],
};

Deno.test("doctor tells adapter, limits and checks", async () => {
  const outcome = await runCommand(["doctor"], { local: { doctor: () => Promise.resolve(report) } });
  assertEquals(outcome.code, 0);
  assertMatch(outcome.stdout, /^adapter: +llvmpipe \(LLVM 15\)$/m);
  assertMatch(outcome.stdout, /^ +maxBufferSize: +2,147,483,648$/m);
  assertMatch(outcome.stdout, /^warning +speed: 256-bit vectors\n +to do: set LP_NATIVE_VECTOR_WIDTH=512$/m);
});

Deno.test("doctor --json is one object, and fails where a check does", async () => {
  const { adapter: _, ...rest } = report;
  const checks = [{ name: "adapter", status: "failed" as const, message: "No Vulkan driver can be loaded" }];
  const outcome = await runCommand(["doctor", "--json"], {
    local: { doctor: () => Promise.resolve({ ...rest, checks }) },
  });
  assertEquals(outcome.code, 1);
  assertEquals(jsonLines(outcome), [{
    healthy: false,
    version: "0.1.0",
    deno_version: "2.9.3",
    platform: "linux x86_64",
    checks,
  }]);
});

Deno.test("bench passes on its options and writes a line a measurement", async () => {
  let asked: { kind: string; options: BenchOptions } | undefined;
  const local = {
    async *bench(kind: string, options: BenchOptions) {
      asked = { kind, options };
      yield {
        benchmark: "train",
        case: "lm-resnet-20 b64",
        median: 81.25,
        unit: "images/s",
        runs: 3,
        adapter: "llvmpipe",
        details: { share_of_ceiling: 0.12345, clock: "timestamp-query" },
      };
    },
  };
  const trace = await Deno.makeTempFile({ suffix: ".json" });
  const line = "bench train --model resnet-20 --batch-size 32 --image 28x28x1 --classes 7 --runs 3 --filter lm " +
    `--precision mixed --trace ${trace} --tune on --json`;
  const outcome = await runCommand(line.split(" "), { local });
  assertEquals(jsonLines(outcome), [{
    benchmark: "train",
    case: "lm-resnet-20 b64",
    median: 81.25,
    unit: "images/s",
    runs: 3,
    adapter: "llvmpipe",
    share_of_ceiling: 0.12345,
    clock: "timestamp-query",
  }]);
  const { signal: _signal, note: _note, ...options } = asked!.options;
  assertEquals([asked?.kind, options], ["train", {
    model: "resnet-20",
    batchSize: 32,
    image: { height: 28, width: 28, channels: 1 },
    classes: 7,
    precision: "mixed",
    runs: 3,
    filter: "lm",
    trace,
    tune: "on",
  }]);
  const text = await runCommand(["bench", "train"], { local });
  assertEquals(
    text.stdout,
    "train  lm-resnet-20 b64  81.25 images/s  (median of 3; share_of_ceiling 0.123; clock timestamp-query; llvmpipe)\n",
  );
  const elsewhere = await runCommand(["bench", "infer", "--trace", "step.json"], { local });
  assertEquals(elsewhere.code, 2);
  await Deno.remove(trace);
});

Deno.test("bench train refuses a trace that cannot be written before it measures", async () => {
  const local = {
    bench(): never {
      throw new Error("It measures");
    },
  };
  const { code, stderr } = await runCommand(["bench", "train", "--trace", "/nowhere/step.json"], { local });
  assertEquals([code, stderr], [1, 'multistep: Cannot write "/nowhere/step.json": its folder does not exist\n']);
});

Deno.test("bench fails where no case was measured, and when interrupted", async () => {
  const none = await runCommand(["bench", "kernels", "--filter", "x"], { local: { async *bench() {} } });
  assertEquals([none.code, none.stderr], [1, 'multistep: No case of bench kernels has "x" in its name\n']);
  let interrupt = () => {};
  const interrupted = await runCommand(["bench", "rpc"], {
    onStart: (given) => interrupt = given,
    local: {
      async *bench(_kind, { signal }) {
        setTimeout(interrupt, 5);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        yield* [];
      },
    },
  });
  assertEquals([interrupted.code, interrupted.stderr], [130, "Interrupted\n"]);
});

/** Runs the demo against a fake server, in a folder of its own. */
async function demo(args: readonly string[], overrides: Overrides = {}, folderName = "data") {
  const fake = await startFakeServer(overrides);
  const root = await Deno.makeTempDir();
  const dataDir = join(root, folderName);
  const server = fakeLocalServer(fake.address);
  const outcome = await runCommand(["demo", ...args], {
    dataDir,
    local: {
      serve({ log }) {
        log('{"level":"info","message":"server started"}');
        log('{"level":"error","message":"out of disk"}');
        return Promise.resolve(server);
      },
      async exampleImages(folder) {
        const path = join(folder, "seven.png");
        await Deno.writeTextFile(path, "good");
        return [{ path, label: "7" }];
      },
    },
  });
  await fake.close();
  await Deno.remove(root, { recursive: true });
  return { outcome, dataDir, fake, closes: server.closes };
}

Deno.test("demo trains, evaluates, infers and tells how to go on", async () => {
  const { outcome, dataDir, fake, closes } = await demo([]);
  assertEquals([outcome.code, closes], [0, 1]);
  const { model, dataset, epochs, batchSize, schedule } = fake.lastConfig();
  assertEquals([model?.name, dataset, epochs, batchSize], ["lm-resnet-20", "mnist", 3, 64]);
  assertEquals(schedule?.milestones, [2]);
  assertEquals(outcome.stderr.includes("server started"), false);
  assertStringIncludes(outcome.stderr, "out of disk");
  assertStringIncludes(outcome.stdout, "Trained lm-resnet-20 on mnist as runs/run-1");
  assertStringIncludes(outcome.stdout, "Test accuracy (top-1): 66.67% of 3 images");
  assertMatch(outcome.stdout, /seven\.png +7 +seven +75\.00%/);
  assertStringIncludes(outcome.stdout, `  ./multistep serve --data-dir ${dataDir}\n  ./multistep runs list\n`);
});

Deno.test("demo --json ends with accuracy, seconds and run", async () => {
  const { outcome, dataDir } = await demo(["--json", "--epochs", "1", "--model", "resnet-20"]);
  const lines = jsonLines(outcome);
  const kinds = new Set(lines.map((line) => line.kind));
  assertEquals(["progress", "run", "evaluation_result", "prediction"].every((kind) => kinds.has(kind)), true);
  const { seconds, ...last } = lines.at(-1)!;
  assert(typeof seconds === "number" && seconds > 0);
  assertEquals(last, {
    kind: "demo",
    top1: 2 / 3,
    run: "runs/run-1",
    model: "resnet-20",
    dataset: "mnist",
    data_dir: dataDir,
  });
});

Deno.test("demo classifies the user's images, and fails in the end for a bad one", async () => {
  const folder = await Deno.makeTempDir();
  const [mine, bad] = [join(folder, "mine.png"), join(folder, "bad.png")];
  await Deno.writeTextFile(mine, "good");
  await Deno.writeTextFile(bad, "bad");
  const { outcome } = await demo([mine, bad]);
  assertEquals(outcome.code, 1);
  assertMatch(outcome.stdout, /mine\.png +seven +75\.00%/);
  assertStringIncludes(outcome.stderr, `multistep: ${bad}: Cannot decode the image`);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("demo quotes a data folder that a shell would split", async () => {
  const { outcome, dataDir } = await demo([], {}, "it's data");
  assertStringIncludes(outcome.stdout, `--data-dir '${dataDir.replace("'", "'\\''")}'\n`);
});

Deno.test("demo fails with the reason when training does, and closes the server", async () => {
  const fake = scriptedRun("a", RunState.FAILED);
  const { outcome, closes } = await demo(["--json"], {
    training: {
      async *train() {
        for (const event of fake.events) yield { event };
      },
      getRun: () => ({ run: fake.run }),
    },
  });
  assertEquals([outcome.code, closes], [1, 1]);
  assertStringIncludes(outcome.stderr, "multistep: runs/a is FAILED: The adapter was lost\n");
});

Deno.test("demo closes the server when interrupted", async () => {
  const fake = await startFakeServer({
    training: {
      async *train(_request, { signal }) {
        yield { event: scriptedRun("a").events[0] };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    },
  });
  const server = fakeLocalServer(fake.address);
  let interrupt = () => {};
  const outcome = await runCommand(["demo"], {
    onStart: (given) => interrupt = given,
    onStderr: (text) => text.includes("QUEUED") && setTimeout(interrupt, 5),
    local: { serve: () => Promise.resolve(server) },
  });
  assertEquals([outcome.code, outcome.stderr.endsWith("Interrupted\n"), server.closes], [130, true, 1]);
  await fake.close();
});
