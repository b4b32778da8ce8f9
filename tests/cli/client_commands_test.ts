import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import sharp from "sharp";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  Activation,
  Block,
  DataPath,
  ErasingFill,
  Precision,
  RunState,
  ScheduleKind,
  Scheme,
  Shortcut,
  Transition,
} from "../../src/gen/mod.ts";
import { type FakeServer, type Overrides, scriptedRun, startFakeServer } from "./fake_server.ts";
import { type Circumstances, jsonLines, type Outcome, runCommand } from "./harness.ts";

type Run = (line: string, circumstances?: Circumstances) => Promise<Outcome>;

/** Gives the test a server, and a way to run commands against it. */
async function withServer(
  overrides: Overrides,
  test: (run: Run, server: FakeServer) => Promise<void>,
): Promise<void> {
  const server = await startFakeServer(overrides);
  try {
    await test(
      (line, circumstances) => runCommand(line.split(" "), { server: server.address, ...circumstances }),
      server,
    );
  } finally {
    await server.close();
  }
}

function addRuns(server: FakeServer, ...ids: string[]): void {
  for (const id of ids) {
    const fake = scriptedRun(id);
    server.runs.set(fake.run.name, fake);
  }
}

const train = "train --model lm-resnet-20 --dataset mnist";

Deno.test("train sends what its options say, and leaves out what they don't", async () => {
  await withServer({}, async (run, server) => {
    assertEquals((await run(train)).code, 0);
    const bare = server.lastConfig();
    assertEquals([bare.model?.name, bare.dataset], ["lm-resnet-20", "mnist"]);
    assertEquals([bare.epochs, bare.batchSize, bare.seed, bare.optimizer?.learningRate], Array(4).fill(undefined));

    const options =
      "--epochs 3 --batch-size 128 --lr 0.05 --momentum 0.8 --weight-decay 5e-4 --seed 18446744073709551615" +
      " --decay-multistep-coefficients false --milestones 1,2 --factor 0.2 --limit-train 100 --limit-test 50" +
      " --label-smoothing 0.1 --crop-padding 4 --horizontal-flip true --transition project-both --precision f32" +
      " --nesterov true --decay-batch-norm false --decay-biases false --clip-global-norm 5 --ema-decay 0.99" +
      " --schedule steps --warmup-epochs 0.5" +
      " --warmup-start-factor 0.1 --final-factor 0 --checkpoint-every-steps 0 --keep-checkpoints 5 --max-retries 1 --evaluate-every 0 --scheme linear-multistep --activation post --shortcut zero-pad --per-channel-coefficients" +
      " --columns 3 --data-path resident --from models/a.safetensors" +
      " --mixup 0.2 --cutout 16 --random-erasing 0.25 --random-erasing-fill noise";
    assertEquals((await run(`${train} ${options}`)).code, 0);
    const { $typeName: _, $unknown: __, ...full } = server.lastConfig();
    assertEquals(JSON.parse(JSON.stringify(full, (_key, value) => typeof value === "bigint" ? `${value}n` : value)), {
      model: {
        $typeName: "multistep.v1.ModelSpec",
        name: "lm-resnet-20",
        transition: Transition.PROJECT_BOTH,
        scheme: Scheme.LINEAR_MULTISTEP,
        activation: Activation.POST,
        shortcut: Shortcut.ZERO_PAD,
        perChannelCoefficients: true,
        columns: 3,
      },
      dataset: "mnist",
      epochs: 3,
      batchSize: 128,
      seed: "18446744073709551615n",
      limitTrain: 100,
      limitTest: 50,
      optimizer: {
        $typeName: "multistep.v1.OptimizerConfig",
        learningRate: 0.05,
        momentum: 0.8,
        weightDecay: 5e-4,
        decayMultistepCoefficients: false,
        nesterov: true,
        decayBatchNorm: false,
        decayBiases: false,
        clipGlobalNorm: 5,
        emaDecay: 0.99,
      },
      schedule: {
        $typeName: "multistep.v1.ScheduleConfig",
        kind: ScheduleKind.STEPS,
        milestones: [1, 2],
        factor: 0.2,
        warmupEpochs: 0.5,
        warmupStartFactor: 0.1,
        finalFactor: 0,
      },
      labelSmoothing: 0.1,
      augmentation: {
        $typeName: "multistep.v1.AugmentationConfig",
        cropPadding: 4,
        horizontalFlip: true,
        mixupAlpha: 0.2,
        cutoutSize: 16,
        randomErasingProbability: 0.25,
        randomErasingFill: ErasingFill.NOISE,
      },
      precision: Precision.F32,
      recipe: "",
      evaluateEveryEpochs: 0,
      checkpointEverySteps: 0,
      checkpointsKept: 5,
      initialCheckpoint: "models/a.safetensors",
      maxRetries: 1,
      dataPath: DataPath.RESIDENT,
    });
  });
});

Deno.test("train --recipe leaves to the server what it does not say itself", async () => {
  await withServer({}, async (run, server) => {
    assertEquals((await run("train --recipe lm-cifar10 --epochs 3")).code, 0);
    const { recipe, model, dataset, epochs, optimizer, schedule } = server.lastConfig();
    assertEquals([recipe, model?.name, dataset, epochs], ["lm-cifar10", "", "", 3]);
    assertEquals([optimizer?.learningRate, schedule?.kind, schedule?.milestones], [undefined, 0, []]);
    assertEquals((await run("train --recipe lm-cifar10 --model lm-resnet-56 --dataset mnist")).code, 0);
    assertEquals([server.lastConfig().model?.name, server.lastConfig().dataset], ["lm-resnet-56", "mnist"]);
    for (const [options, missing] of [["--dataset mnist", "model"], ["--model resnet-20", "dataset"]]) {
      const outcome = await run(`train ${options}`);
      assertEquals(outcome.code, 2);
      assertStringIncludes(outcome.stderr, `Option --${missing} NAME is missing, or a --recipe NAME that has one`);
    }
  });
});

Deno.test("recipes lists them, and shows one as JSON", async () => {
  await withServer({}, async (run) => {
    const table = await run("recipes");
    assertMatch(
      table.stdout,
      /^lm-cifar10 +lm-resnet-20 +cifar10 +160 +LM-ResNets on CIFAR-10 +The authors' code \[c\]$/m,
    );
    const [line] = jsonLines(await run("recipes --json"));
    assertEquals([line.name, line.source], ["lm-cifar10", "The authors' code [c]"]);
    const shown = JSON.parse((await run("recipes lm-cifar10")).stdout);
    assertEquals([shown.config.model.name, shown.config.epochs], ["lm-resnet-20", 160]);
    assertEquals(jsonLines(await run("recipes lm-cifar10 --json")), [shown]);
    const unknown = await run("recipes lm-cifar");
    assertEquals([unknown.code, unknown.stderr], [
      1,
      'multistep: There is no recipe "lm-cifar": there are lm-cifar10\n',
    ]);
  });
});

Deno.test("train --network sends a network outside the zoo, and says what is no such thing", async () => {
  await withServer({}, async (run, server) => {
    const network = '{"stem_channels":8,"stages":[{"blocks":1,"channels":8,"block":"BLOCK_BASIC"}]}';
    assertEquals((await run(`${train} --network ${network}`)).code, 0);
    const sent = server.lastConfig().model?.network;
    assertEquals([sent?.stemChannels, sent?.stages[0].channels, sent?.stages[0].block], [8, 8, Block.BASIC]);
    for (const text of ["{", '{"stem_widths":8}']) {
      const outcome = await run(`${train} --network ${text}`);
      assertEquals(outcome.code, 2);
      assertStringIncludes(outcome.stderr, "must be a NetworkSpec as JSON");
    }
  });
});

Deno.test("train --json writes each event as one flat object, then the run", async () => {
  await withServer({}, async (run) => {
    const outcome = await run(`${train} --json`);
    assertEquals(outcome.code, 0);
    const lines = jsonLines(outcome);
    assertEquals(lines.map((line) => line.kind), [
      "state_changed",
      "state_changed",
      "preparing",
      "progress",
      "progress",
      "evaluation",
      "checkpoint",
      "state_changed",
      "run",
    ]);
    assertEquals(lines[1].state, "RUNNING");
    const { loss, top1, images_per_second, seconds_left, total_steps, step, epoch } = lines[3];
    assertEquals([loss, top1, images_per_second, seconds_left], [2.302585, 0.125, 133.25, 75]);
    assertEquals([step, total_steps, epoch], [5, 10, 0]);
    assertEquals([lines[5].top1, lines[5].top5], [0.9715, 1]);
    assertEquals([lines[6].bytes, lines[6].step], [1083000, 10]);
    assertEquals([lines[8].run, lines[8].state, lines[8].top1], ["runs/run-1", "SUCCEEDED", 0.9715]);
  });
});

Deno.test("train shows progress on stderr and the result on stdout", async () => {
  await withServer({}, async (run) => {
    const plain = await run(train);
    assertEquals(plain.stdout, "runs/run-1 is SUCCEEDED after 10 of 10 steps: test loss 0.25, top-1 97.15%\n");
    assertStringIncludes(plain.stderr, "runs/run-1 is QUEUED\n");
    assertStringIncludes(plain.stderr, "step 10: test loss 0.25, top-1 97.15%, top-5 100.00%\n");
    assertStringIncludes(plain.stderr, "checkpoint runs/run-1/checkpoints/step-00000010.safetensors (1.1 MB)");
    const terminal = await run(train, { terminal: true });
    assertMatch(terminal.stderr, /\r\[#+\.+\] +\d+% /);
    assert(terminal.stderr.endsWith("\r\x1b[K"));
  });
});

Deno.test("train fails with the reason when the run does", async () => {
  const fake = scriptedRun("a", RunState.FAILED);
  const overrides: Overrides = {
    training: {
      async *train() {
        for (const event of fake.events) yield { event };
      },
      getRun: () => ({ run: fake.run }),
    },
  };
  await withServer(overrides, async (run) => {
    const outcome = await run(`${train} --json`);
    assertEquals(outcome.code, 1);
    const last = jsonLines(outcome).at(-1);
    assertEquals([last?.state, last?.status_message], ["FAILED", "The adapter was lost"]);
    assertStringIncludes(outcome.stderr, "runs/a is FAILED: The adapter was lost");
  });
});

/** A run that goes on until its watcher leaves. */
function endlessRun(): Overrides {
  const fake = scriptedRun("a");
  return {
    training: {
      async *train(_request, { signal }) {
        for (const event of fake.events.slice(0, 4)) yield { event };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
      getRun: () => ({ run: { ...fake.run, state: RunState.QUEUED, progress: undefined, evaluation: undefined } }),
    },
  };
}

Deno.test("train --detach prints the run and leaves", async () => {
  await withServer(endlessRun(), async (run) => {
    const outcome = await run(`${train} --detach`);
    assertEquals([outcome.code, outcome.stdout], [0, "runs/a is QUEUED\nTo watch it: ./multistep watch runs/a\n"]);
    const lines = jsonLines(await run(`${train} --detach --json`));
    assertEquals(lines.map((line) => [line.run, line.state]), [["runs/a", "QUEUED"]]);
  });
});

Deno.test("train leaves the run going when interrupted, and tells how to watch and cancel it", async () => {
  await withServer(endlessRun(), async (run, { calls }) => {
    let interrupt = () => {};
    const outcome = await run(train, {
      onStart: (given) => interrupt = given,
      onStderr: (text) => text.includes("compiling") && setTimeout(interrupt, 10),
    });
    assertEquals(outcome.code, 130);
    assertStringIncludes(outcome.stderr, "./multistep watch runs/a\n");
    assertStringIncludes(outcome.stderr, "./multistep runs cancel runs/a\n");
    assertEquals(calls.includes("cancelRun"), false);
  });
});

Deno.test("watch replays a run, from an event on if asked, by any of its names", async () => {
  await withServer({}, async (run, server) => {
    addRuns(server, "a", "b");
    const whole = jsonLines(await run("watch a --json"));
    assertEquals(whole.filter((line) => line.kind !== "run").map((line) => line.sequence), [1, 2, 3, 4, 5, 6, 7, 8]);
    const tail = jsonLines(await run("watch latest --after 7 --json"));
    assertEquals(tail.map((line) => [line.run, line.kind]), [["runs/b", "state_changed"], ["runs/b", "run"]]);
  });
});

Deno.test("runs list pages through all runs, newest first", async () => {
  await withServer({}, async (run, server) => {
    addRuns(server, "a", "b", "c", "d", "e");
    const lines = jsonLines(await run("runs list --json"));
    assertEquals(lines.map((line) => line.name), ["runs/e", "runs/d", "runs/c", "runs/b", "runs/a"]);
    const table = (await run("runs list")).stdout.split("\n");
    assertMatch(table[0], /^RUN +STATE +MODEL +DATASET +STEP +LOSS +TOP-1 +CREATED$/);
    assertMatch(table[1], /^runs\/e +SUCCEEDED +lm-resnet-20 +mnist +10\/10 +0\.25 +97\.15% +2026-01-02 03:04:05Z$/);
  });
});

Deno.test("runs get and cancel show the run; latest needs one", async () => {
  await withServer({}, async (run, server) => {
    const none = await run("runs get latest");
    assertEquals([none.code, none.stderr], [
      1,
      `multistep: No run is the latest: ${server.address} has none yet\n`,
    ]);
    addRuns(server, "a");
    assertMatch((await run("runs get latest")).stdout, /^checkpoint: +runs\/a\/checkpoints\/.* \(1\.1 MB\)$/m);
    const got = jsonLines(await run("runs get runs/a --json"))[0];
    assertEquals([got.name, got.state, (got.config as { seed: number }).seed], ["runs/a", "SUCCEEDED", 7]);
    assertEquals(jsonLines(await run("runs cancel a --json"))[0].state, "CANCELLING");
    const unknown = await run("runs cancel nope --json");
    assertEquals([unknown.code, unknown.stdout, unknown.stderr], [1, "", 'multistep: Cannot find run "runs/nope"\n']);
  });
});

Deno.test("eval prints metrics and the confusion matrix", async () => {
  await withServer({}, async (run, server) => {
    addRuns(server, "a");
    const text = await run("eval --run latest");
    assertEquals(text.code, 0);
    assertStringIncludes(text.stdout, "top-1:  66.67%\n");
    assertStringIncludes(
      text.stdout,
      "true \\ predicted  cat  dog\ncat                 1    1\ndog                 0    1\n",
    );
    assertEquals(jsonLines(await run("eval --run a --json")), [{
      loss: 0.5,
      top1: 2 / 3,
      top5: 1,
      images: 3,
      images_per_second: 400,
      confusion: { class_names: ["cat", "dog"], counts: [1, 1, 0, 1] },
    }]);
  });
});

Deno.test("eval of many classes prints the most frequent mistakes", async () => {
  const classNames = Array.from({ length: 30 }, (_, index) => `class-${index}`);
  const counts = Array<number>(900).fill(0);
  counts[3 * 30 + 4] = 7;
  counts[5 * 30 + 5] = 99;
  const overrides: Overrides = {
    inference: {
      async *evaluate() {
        yield { kind: { case: "result", value: { confusion: { classNames, counts } } } };
      },
    },
  };
  await withServer(overrides, async (run) => {
    const { stdout } = await run("eval --run a");
    assert(stdout.endsWith("TRUE     PREDICTED  IMAGES\nclass-3  class-4         7\n"));
  });
});

Deno.test("eval passes on its options", async () => {
  let asked: unknown;
  const overrides: Overrides = {
    inference: {
      async *evaluate({ source, dataset, split, batchSize, limit }) {
        asked = { source: source?.source, dataset, split, batchSize, limit };
        yield { kind: { case: "result", value: {} } };
      },
    },
  };
  await withServer(overrides, async (run) => {
    await run("eval --checkpoint runs/a/c.safetensors --dataset cifar10 --split train --batch-size 8 --limit 100");
    assertEquals(asked, {
      source: { case: "checkpoint", value: "runs/a/c.safetensors" },
      dataset: "cifar10",
      split: "train",
      batchSize: 8,
      limit: 100,
    });
    assertEquals((await run("eval")).code, 2);
    assertEquals((await run("eval --run a --checkpoint b")).code, 2);
  });
});

Deno.test("infer names the classes of each file, and goes on after a bad one", async () => {
  const folder = await Deno.makeTempDir();
  const good = join(folder, "good.png");
  const bad = join(folder, "bad.jpg");
  const missing = join(folder, "missing.png");
  await Deno.writeTextFile(good, "good");
  await Deno.writeTextFile(bad, "bad");
  await withServer({}, async (_run, { address: server }) => {
    const files = [bad, good, missing, folder, good];
    const text = await runCommand(["infer", "--run", "a", ...files], { server });
    assertEquals(text.code, 1);
    const table = `${good}\n  CLASS  PROBABILITY\n  seven       75.00%\n  one         25.00%\n`;
    assertEquals(text.stdout, table + table);
    assertEquals(text.stderr.split("\n"), [
      `multistep: ${bad}: Cannot decode the image: it is neither PNG nor JPEG`,
      `multistep: ${missing}: Cannot read the file: it does not exist`,
      `multistep: ${folder}: Cannot read the file: it is a folder`,
      "",
    ]);
    const json = jsonLines(await runCommand(["infer", "--run", "a", "--json", ...files], { server }));
    assertEquals(json.map((line) => [line.file, "error" in line]), [
      [bad, true],
      [good, false],
      [missing, true],
      [folder, true],
      [good, false],
    ]);
    assertEquals(json[1].top, [
      { class_index: 7, class_name: "seven", probability: 0.75 },
      { class_index: 1, class_name: "one", probability: 0.25 },
    ]);
    assertEquals((await runCommand(["infer", "--run", "a", good], { server })).code, 0);
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("infer fails once, not for every file, when the run has no weights", async () => {
  const folder = await Deno.makeTempDir();
  const files = Array.from({ length: 20 }, (_, index) => join(folder, `${index}.png`));
  for (const file of files) await Deno.writeTextFile(file, "good");
  const overrides: Overrides = {
    inference: {
      infer() {
        throw new ConnectError("Run runs/a has no checkpoint yet", Code.FailedPrecondition);
      },
    },
  };
  await withServer(overrides, async (_run, { address: server }) => {
    const outcome = await runCommand(["infer", "--run", "a", ...files], { server });
    assertEquals([outcome.code, outcome.stderr], [1, "multistep: Run runs/a has no checkpoint yet\n"]);
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("train tells what it does with the images of a streamed data set", async () => {
  await withServer({}, async (run, server) => {
    const options = "--image 64x48 --min-scale 0.35 --max-scale 0.9 --min-ratio 0.8 --max-ratio 1.25";
    const common = "train --model lm-resnet-20 --dataset photographs";
    assertEquals((await run(`${common} ${options} --random-resized-crop true`)).code, 0);
    const { image, randomResizedCrop, minScale, maxScale, minRatio, maxRatio } = server.lastConfig().augmentation ?? {};
    assertEquals([image?.height, image?.width, image?.channels], [64, 48, 3]);
    assertEquals([randomResizedCrop, minScale, maxScale, minRatio, maxRatio], [true, 0.35, 0.9, 0.8, 1.25]);
    assertEquals((await run(`${common} --random-resized-crop false`)).code, 0);
    assertEquals(server.lastConfig().augmentation?.randomResizedCrop, false);
  });
});

Deno.test("models lists families and describes a network layer by layer", async () => {
  await withServer({}, async (run) => {
    assertStringIncludes((await run("models list")).stdout, "lm-resnet-N  linear multi-step  lm-resnet-20");
    assertEquals(jsonLines(await run("models list --json"))[0].examples, ["lm-resnet-20"]);
    const { stdout } = await run("models describe lm-resnet-20 --image 28x28x1 --classes 100");
    assertMatch(stdout, /^input: +28x28x1$/m);
    assertMatch(stdout, /^classes: +100$/m);
    assertMatch(stdout, /^stem +conv2d 3x3 +32x32x16 +432 +442,368$/m);
    const [json] = jsonLines(await run("models describe lm-resnet-20 --json"));
    assertEquals([json.parameters, json.multiply_adds, json.input], [269734, 40551040, {
      height: 32,
      width: 32,
      channels: 3,
    }]);
    assertEquals(json.training_memory, undefined);
    const sized = "models describe lm-resnet-20 --batch-size 64";
    assertMatch((await run(sized)).stdout, /^training memory: +138\.5 MB$/m);
    assertMatch((await run(sized)).stdout, /^ +images of the data set: +5\.0 MB$/m);
    assertEquals(jsonLines(await run(`${sized} --json`))[0].training_memory, {
      total_bytes: 138_500_000,
      parameter_bytes: 4_400_000,
      activation_bytes: 128_000_000,
      workspace_bytes: 1_100_000,
      image_bytes: 5_000_000,
    });
    assertMatch((await run(`${sized} --ema-decay 0.999`)).stdout, /^ +parameters, gradients, momentum: +5\.5 MB$/m);
    const unknown = await run("models describe lm-resnet-21");
    assertEquals([unknown.code, unknown.stderr], [
      1,
      'multistep: Cannot find model "lm-resnet-21": there are lm-resnet-N\n',
    ]);
  });
});

Deno.test("datasets lists, describes and imports", async () => {
  await withServer({}, async (run) => {
    assertMatch((await run("datasets list")).stdout, /^mnist +28x28x1 +2 +8,000 +2,000 +Handwritten digits$/m);
    assertMatch((await run("datasets describe mnist")).stdout, /^mean: +0\.1307$/m);
    assertEquals(
      (await run("datasets describe emnist")).stderr,
      'multistep: Cannot find data set "emnist": there are mnist\n',
    );
    assertMatch((await run("datasets describe mnist")).stdout, /^1 +2,000 +25\.00% +1,000$/m);
    assertMatch((await run("datasets describe mnist")).stdout, /^balance: +2,000 to 6,000 images to train a class$/m);
    const outcome = await run("datasets import pets tests --image 64x64 --json");
    assertEquals(outcome.code, 0);
    const [imported] = jsonLines(outcome);
    assertEquals([imported.name, imported.description], ["pets", join(Deno.cwd(), "tests")]);
    const [elsewhere] = jsonLines(await run("datasets import pets no/such/folder --json"));
    assertEquals(elsewhere.description, "no/such/folder");
    assertStringIncludes(outcome.stderr, "50% imported 10/20\n");
    const report = jsonLines(outcome)[1];
    assertEquals(report.classes, [{ name: "cat", train_images: 6, test_images: 4 }]);
    const text = (await run("datasets import pets --from tests")).stdout;
    assertMatch(text, /^cat +6 +100\.00% +4$/m);
    assertStringIncludes(text, "1.0 kB kept, 1 file left out\n  train/cat/a.txt: not an image\n");
    assertMatch(text, /^kind: +packed: pixels of one size$/m);
    assertMatch((await run("datasets import pets --from tests --streamed")).stdout, /^kind: +streamed: image files/m);
    const [fetched] = jsonLines(await run("datasets fetch cifar10 --as c --json"));
    assertEquals([fetched.name, fetched.description], ["c", "cifar10"]);
    const [linked] = jsonLines(await run("datasets import pets --from https://example.org/a.zip --json"));
    assertEquals(linked.description, "https://example.org/a.zip");
    assertEquals((await run("datasets import pets")).code, 2);
    assertEquals((await run("datasets import pets tests --from tests")).code, 2);
  });
});

Deno.test("datasets describe draws a contact sheet", async () => {
  const folder = await Deno.makeTempDir();
  const sheet = join(folder, "sheet.png");
  await withServer({}, async (_run, { address: server }) => {
    const outcome = await runCommand(
      ["datasets", "describe", "mnist", "--contact-sheet", sheet, "--images-per-class", "3", "--json"],
      { server },
    );
    assertEquals([outcome.code, outcome.stderr], [0, ""]);
    const [dataset, sample] = jsonLines(outcome);
    assertEquals([dataset.name, sample.bytes, sample.contact_sheet], ["mnist", 7_840_000, sheet]);
    assertEquals(sample.classes, [
      { name: "0", train_images: 6000, test_images: 1000 },
      { name: "1", train_images: 2000, test_images: 1000 },
    ]);
  });
  const { data, info } = await sharp(await Deno.readFile(sheet)).raw().toBuffer({ resolveWithObject: true });
  // One row, for only one class has an image: its title, then a cell of 48 pixels.
  assertEquals([info.width, info.height, info.channels], [160 + 4 + 48 + 4, 4 + 48 + 4, 3]);
  const at = (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)];
  assertEquals([at(164, 4), at(211, 51), at(163, 4), at(212, 52)], [
    [255, 0, 0],
    [255, 0, 0],
    [255, 255, 255],
    [255, 255, 255],
  ]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a client command says how to start a server where none answers", async () => {
  const outcome = await runCommand(["runs", "list", "--json"], { server: "127.0.0.1:1" });
  assertEquals([outcome.code, outcome.stdout], [1, ""]);
  assertMatch(
    outcome.stderr,
    /^multistep: No server answers at 127\.0\.0\.1:1 \(.*\): start one with "\.\/multistep serve --listen 127\.0\.0\.1:1".*\n$/,
  );
});

Deno.test("a client command fails in one line where something else than a gRPC server listens", async () => {
  const web = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => new Response("hello"));
  const outcome = await runCommand(["runs", "list", "--server", `127.0.0.1:${web.addr.port}`]);
  assertEquals(outcome.code, 1);
  assertMatch(outcome.stderr, /^multistep: .+\n$/);
  await web.shutdown();
});

Deno.test("a client command fails in one line where the other side hangs up at once", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const hangUp = (async () => {
    for await (const connection of listener) connection.close();
  })();
  const outcome = await runCommand(["runs", "list", "--server", `127.0.0.1:${listener.addr.port}`]);
  assertEquals(outcome.code, 1);
  assertMatch(outcome.stderr, /^multistep: .+\n$/);
  listener.close();
  await hangUp;
});

Deno.test("a client command names a bad MULTISTEP_SERVER", async () => {
  const outcome = await runCommand(["runs", "list"], { server: "somewhere" });
  assertEquals(outcome.code, 2);
  assertStringIncludes(outcome.stderr, "MULTISTEP_SERVER must be HOST:PORT");
});

Deno.test("a client command shows a server's message of several lines in one", async () => {
  const overrides: Overrides = {
    catalog: {
      listModels() {
        throw new ConnectError("first\n  second", Code.Internal);
      },
    },
  };
  await withServer(overrides, async (run) => {
    assertEquals((await run("models list")).stderr, "multistep: first second\n");
  });
});
