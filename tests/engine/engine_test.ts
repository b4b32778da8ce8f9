/** The real engine: its worker, the GPU or software Vulkan, and the built-in digits. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DatasetRegistry } from "../../src/data/mod.ts";
import {
  type Engine,
  EngineError,
  startEngine,
  type TrainingConfig,
  type TrainingEvent,
} from "../../src/engine/mod.ts";
import { decodeCheckpoint } from "../../src/models/mod.ts";

const never = new AbortController().signal;

const config: TrainingConfig = {
  model: { name: "lm-resnet-14" },
  dataset: "mnist",
  epochs: 2,
  batchSize: 32,
  seed: 7,
  // 3 full batches and one of 4.
  limitTrain: 100,
  limitTest: 50,
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [1],
  factor: 0.1,
  labelSmoothing: 0.1,
  cropPadding: 2,
  horizontalFlip: false,
  precision: "f32",
  evaluateEveryEpochs: 1,
  checkpointEverySteps: 0,
  checkpointsKept: 2,
  maxRetries: 0,
};

async function withEngine(run: (engine: Engine, dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-engine-" });
  const engine = await startEngine({ dataDir });
  try {
    await run(engine, dataDir);
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function trainAll(engine: Engine, folder: string, job: TrainingConfig = config): Promise<TrainingEvent[]> {
  return await Array.fromAsync(engine.train({ config: job, folder, resume: false }, never));
}

function checkpointsOf(events: readonly TrainingEvent[]): string[] {
  return events.flatMap((event) => event.kind === "checkpoint" ? [event.checkpoint.path] : []);
}

function lossesOf(events: readonly TrainingEvent[]): number[] {
  return events.flatMap((event) => event.kind === "progress" ? [event.metrics.loss] : []);
}

Deno.test("startEngine() gives an engine that trains, evaluates and infers", async (t) => {
  await withEngine(async (engine, dataDir) => {
    let first: TrainingEvent[] = [];
    await t.step("train() tells every step, evaluations and checkpoints in order", async () => {
      first = await trainAll(engine, "runs/first");
      const steps = first.flatMap((event) => event.kind === "progress" ? [event.step] : []);
      assertEquals(steps, [1, 2, 3, 4, 5, 6, 7, 8]);
      const kinds = first.filter(({ kind }) => kind === "evaluation" || kind === "checkpoint").map(({ kind }) => kind);
      assertEquals(kinds, ["evaluation", "checkpoint", "evaluation", "checkpoint"]);
      const rates = first.flatMap((event) => event.kind === "progress" ? [event.learningRate] : []);
      assertEquals(rates.map((rate) => rate.toFixed(4)), [..."00001111"].map((e) => e === "0" ? "0.0500" : "0.0050"));
      const images = first.flatMap((event) => event.kind === "progress" ? [event.metrics.images] : []);
      assertEquals(images, [32, 32, 32, 4, 32, 32, 32, 4]);
      assert(lossesOf(first).every(Number.isFinite));
    });

    await t.step("train() repeats itself bit for bit from the same seed", async () => {
      const second = await trainAll(engine, "runs/second");
      assertEquals(lossesOf(second), lossesOf(first));
      const files = [first, second].map((events) => `${dataDir}/${checkpointsOf(events)[1]}`);
      const [a, b] = await Promise.all(files.map(async (file) => decodeCheckpoint(await Deno.readFile(file))));
      assertEquals(a, b);
      assertEquals(a.position, { seed: 7, epoch: 2, stepInEpoch: 0, step: 8 });
      assertEquals(a.parameters.get("stage1.block1.k")?.shape, [1]);
      assert(a.velocities.size === a.parameters.size && a.states.has("head.bn.running_mean"));
      const plain = await trainAll(engine, "runs/plain", { ...config, cropPadding: 0, epochs: 1 });
      assert(lossesOf(plain)[0] !== lossesOf(first)[0], "the crop makes no difference");
      const other = await trainAll(engine, "runs/other", { ...config, seed: 8, epochs: 1 });
      assert(lossesOf(other)[0] !== lossesOf(first)[0], "another seed gave the same loss");
    });

    await t.step(
      "train() in mixed precision repeats itself bit for bit, and its checkpoint has the loss scale",
      async () => {
        if (!engine.adapter.features.includes("shader-f16")) return;
        const mixed = { ...config, precision: "mixed" } as const;
        const events = await trainAll(engine, "runs/mixed", mixed);
        const again = await trainAll(engine, "runs/mixed-again", mixed);
        assertEquals(lossesOf(again), lossesOf(events));
        const files = [events, again].map((events) => `${dataDir}/${checkpointsOf(events)[1]}`);
        const [a, b] = await Promise.all(files.map(async (file) => decodeCheckpoint(await Deno.readFile(file))));
        assertEquals(a, b);
        const scalar = (name: string) => a.states.get(`optimizer.${name}`)?.data[0] ?? NaN;
        assertEquals(scalar("loss_scale"), 65536 / 2 ** scalar("skipped_steps"));
        const [loss] = lossesOf(events);
        assert(
          loss !== lossesOf(first)[0] && Math.abs(loss / lossesOf(first)[0] - 1) < 0.01,
          `the first loss is ${loss}`,
        );
        // In f32, by the training's own plan and by that of the checkpoint.
        const during = events.findLast((event) => event.kind === "evaluation");
        const job = { checkpoint: checkpointsOf(events)[1], split: "test", batchSize: 50, limit: 50 } as const;
        const last = (await Array.fromAsync(engine.evaluate(job, never))).at(-1);
        assert(during?.kind === "evaluation" && last?.kind === "result");
        assert(Math.abs(last.result.metrics.loss - during.metrics.loss) < 1e-5);
      },
    );

    const checkpoint = () => checkpointsOf(first)[1];
    await t.step("evaluate() gives what training's own evaluation gave, and a confusion matrix", async () => {
      const job = { checkpoint: checkpoint(), split: "test", batchSize: 16, limit: 50 } as const;
      const events = await Array.fromAsync(engine.evaluate(job, never));
      const last = events[events.length - 1];
      assert(last.kind === "result");
      const during = first.findLast((event) => event.kind === "evaluation");
      assert(during?.kind === "evaluation");
      assertEquals(last.result.metrics.top1, during.metrics.top1);
      const difference = Math.abs(last.result.metrics.loss - during.metrics.loss);
      assert(difference < 1e-5, `the losses differ by ${difference}`);
      const counts = [...last.result.confusion];
      assertEquals(counts.reduce((a, b) => a + b, 0), 50);
      const correct = counts.filter((_, i) => i % 11 === 0).reduce((a, b) => a + b, 0);
      assertEquals(correct / 50, last.result.metrics.top1);
    });

    await t.step("infer() gives the same probabilities alone and in a batch", async () => {
      const { pixels } = await new DatasetRegistry(dataDir).load("mnist", "test");
      const infer = (from: number, images: number) => {
        const part = pixels.slice(from * 784, (from + images) * 784);
        return engine.infer({ checkpoint: checkpoint(), pixels: part, images }, never);
      };
      const [all, one] = await Promise.all([infer(0, 70), infer(69, 1)]);
      assertEquals(all.probabilities.length, 700);
      const sum = all.probabilities.subarray(0, 10).reduce((a, b) => a + b, 0);
      assert(Math.abs(sum - 1) < 1e-5);
      one.probabilities.forEach((p, i) => assert(Math.abs(p - all.probabilities[690 + i]) < 1e-5));
      await assertRejects(
        () => engine.infer({ checkpoint: checkpoint(), pixels: new Uint8Array(5), images: 1 }, never),
        EngineError,
        "1 images of 28x28x1 are 784 bytes, got 5",
      );
    });

    await t.step("analyze() gives what the blocks learned", async () => {
      const { model, step, isAverage, scheme, blocks } = await engine.analyze(checkpoint(), never);
      assertEquals([model.name, step, isAverage, scheme.scheme], [config.model.name, 8, false, "linear_multistep"]);
      const { parameters } = decodeCheckpoint(await Deno.readFile(`${dataDir}/${checkpoint()}`));
      const learned = blocks.flatMap(({ name, coefficient }) => coefficient ? [[`${name}.k`, coefficient.mean]] : []);
      assertEquals(
        learned,
        [...parameters].filter(([name]) => name.endsWith(".k")).map(([name, k]) => [name, k.data[0]]),
      );
      assertEquals([blocks[0].coefficient, learned.length > 0], [undefined, true]);
      await assertRejects(
        () => engine.analyze("runs/none", never),
        EngineError,
        'Cannot find the checkpoint "runs/none"',
      );
    });

    await t.step(
      "exportModel() gives files that stay: the checkpoint, and its weights alone, which can be used",
      async () => {
        const exported = async (optimizerState: boolean) =>
          await engine.exportModel({ checkpoint: checkpoint(), optimizerState }, never);
        const [whole, weights] = [await exported(true), await exported(false)];
        const read = (path: string) => Deno.readFile(`${dataDir}/${path}`);
        assertEquals(await read(whole.path), await read(checkpoint()));
        const content = await read(weights.path);
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
        assertEquals([weights.bytes, weights.sha256], [content.length, digest.toHex()]);
        const { parameters, velocities } = decodeCheckpoint(content);
        assertEquals([velocities.size, parameters.get("stage1.block1.k")?.shape], [0, [1]]);
        const pixels = new Uint8Array(784).fill(9);
        const infer = (path: string) => engine.infer({ checkpoint: path, pixels, images: 1 }, never);
        assertEquals(await infer(weights.path), await infer(checkpoint()));
        assertEquals(await exported(false), weights);
      },
    );

    await t.step("bad jobs fail with one clear error and the engine goes on", async () => {
      const failing = async (change: Partial<TrainingConfig>) =>
        await assertRejects(() => engine.check({ ...config, ...change }), EngineError);
      assertEquals((await failing({ dataset: "nope" })).kind, "not-found");
      assertEquals((await failing({ model: { name: "lm-resnet-21" } })).kind, "invalid");
      assertStringIncludes((await failing({ batchSize: 101 })).message, "gives 100 training images");
      assertStringIncludes((await failing({ cutoutSize: 28 })).message, "Cannot cut squares of 28 pixels out of mnist");
      await engine.check({ ...config, cutoutSize: 27 });
      const huge = await failing({
        model: { name: "resnext-29-8x64d" },
        batchSize: 1000,
        limitTrain: undefined,
      });
      assertEquals(huge.kind, "exhausted");
      assertStringIncludes(huge.message, "the largest batch that fits is");
      const missing = engine.describeCheckpoint("runs/none/checkpoints/x.safetensors", never);
      assertEquals((await assertRejects(() => missing, EngineError)).kind, "not-found");
      const folder = await assertRejects(() => engine.describeCheckpoint("runs", never), EngineError);
      assertEquals(folder.message, 'Cannot read the checkpoint "runs": it is no readable file');
      await Deno.writeFile(
        `${dataDir}/broken.safetensors`,
        (await Deno.readFile(`${dataDir}/${checkpoint()}`)).slice(0, 5000),
      );
      const broken = engine.describeCheckpoint("broken.safetensors", never);
      assertStringIncludes((await assertRejects(() => broken, EngineError)).message, "broken.safetensors");
      const diverged = trainAll(engine, "runs/diverged", { ...config, learningRate: 1e30, epochs: 1 });
      assertStringIncludes((await assertRejects(() => diverged, EngineError)).message, "training has diverged");
    });

    await t.step("an aborted run ends with the signal's reason, and leaving the loop ends it too", async () => {
      const controller = new AbortController();
      const reason = new Error("enough");
      await assertRejects(
        async () => {
          for await (
            const event of engine.train({ config, folder: "runs/aborted", resume: false }, controller.signal)
          ) {
            if (event.kind === "progress") controller.abort(reason);
          }
        },
        Error,
        "enough",
      );
      for await (const _event of engine.train({ config, folder: "runs/left", resume: false }, never)) break;
      assertEquals(
        lossesOf(await trainAll(engine, "runs/after", { ...config, epochs: 1 })),
        lossesOf(first).slice(0, 4),
      );
    });
  });
});

Deno.test("serve without a Vulkan driver ends with one clear line", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-no-driver-" });
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      "src/main.ts",
      "serve",
      "--listen",
      "127.0.0.1:0",
      "--data-dir",
      dataDir,
    ],
    cwd: new URL("../..", import.meta.url),
    env: {
      DENO_WEBGPU_BACKEND: "vulkan",
      VK_DRIVER_FILES: `${dataDir}/none.json`,
      VK_ICD_FILENAMES: `${dataDir}/none.json`,
      NO_COLOR: "1",
    },
    stdout: "null",
  }).output();
  await Deno.remove(dataDir, { recursive: true });
  const lines = new TextDecoder().decode(stderr).trim().split("\n");
  assertEquals([code, lines.length], [1, 1]);
  assertStringIncludes(lines[0], "Cannot find a Vulkan driver");
});
