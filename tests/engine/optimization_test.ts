/** What an update depends on besides gradients and momentum: a paused run goes on with it, bit for bit. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import {
  type Engine,
  EngineError,
  startEngine,
  type TrainingConfig,
  type TrainingEvent,
} from "../../src/engine/mod.ts";
import { decodeCheckpoint, readSafetensors } from "../../src/models/mod.ts";
import { smallConfig } from "../support/small_training.ts";

const never = new AbortController().signal;

/** Two epochs of six steps; the warm-up ends within the second. */
const config: TrainingConfig = {
  ...smallConfig,
  epochs: 2,
  nesterov: true,
  clipGlobalNorm: 1,
  emaDecay: 0.8,
  decayBatchNorm: false,
  decayBiases: false,
  schedule: "cosine",
  milestones: [],
  warmupEpochs: 1.5,
  warmupStartFactor: 0.1,
  finalFactor: 0.1,
};

async function withEngine(run: (engine: Engine, dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-optimization-" });
  const engine = await startEngine({ dataDir });
  try {
    await run(engine, dataDir);
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function train(
  engine: Engine,
  run: string,
  { resume = false, pauseAt = Infinity, changes = {} as Partial<TrainingConfig> } = {},
): Promise<TrainingEvent[]> {
  const pausing = new AbortController();
  const events: TrainingEvent[] = [];
  const job = { config: { ...config, ...changes }, folder: `runs/${run}`, resume };
  for await (const event of engine.train(job, never, pausing.signal)) {
    events.push(event);
    if (event.kind === "progress" && event.step === pauseAt) pausing.abort();
  }
  return events;
}

function ratesOf(events: readonly TrainingEvent[]): number[] {
  return events.flatMap((event) => event.kind === "progress" ? [event.learningRate] : []);
}

Deno.test("train() with a warm-up, clipping and a moving average", async (t) => {
  await withEngine(async (engine, dataDir) => {
    const whole = await train(engine, "whole");
    const pathOf = (run: string) => `runs/${run}/checkpoints/step-00000012.safetensors`;
    const read = (path: string) => Deno.readFile(`${dataDir}/${path}`);
    const last = decodeCheckpoint(await read(pathOf("whole")));

    await t.step("paused in the warm-up and resumed, it ends with the bits of the uninterrupted run", async () => {
      const rates = ratesOf(whole);
      assertEquals(rates.length, 12);
      assertAlmostEquals(rates[3], 0.05 * (0.1 + 0.9 * 3 / 9), 1e-15);
      assertAlmostEquals(rates[9], 0.05, 1e-15);
      assertAlmostEquals(rates[11], 0.05 * (0.1 + 0.9 * (1 + Math.cos(Math.PI * 2 / 3)) / 2), 1e-15);
      const before = await train(engine, "paused", { pauseAt: 2 });
      const stoppedAt = before.at(-1)?.step ?? 0;
      assert(before.at(-1)?.kind === "paused" && stoppedAt > 1 && stoppedAt < 6);
      const after = await train(engine, "paused", { resume: true });
      assertEquals([...ratesOf(before), ...ratesOf(after)], rates);
      assertEquals(await read(pathOf("paused")), await read(pathOf("whole")));
    });

    await t.step("the weights are those of a run without an average, which is beside them", async () => {
      await train(engine, "plain", { changes: { emaDecay: undefined } });
      const plain = decodeCheckpoint(await read(pathOf("plain")));
      assertEquals(plain.parameters, last.parameters);
      const own = [...last.states].filter(([name]) => !name.startsWith("optimizer."));
      assertEquals(new Map(own), plain.states);
      for (const [name, { shape, data }] of last.parameters) {
        const average = last.states.get(`optimizer.average.${name}`);
        assert(average && average.data.some((value, i) => value !== data[i]), name);
        assertEquals(average.shape, shape);
      }
    });

    await t.step("the average is what is evaluated, while training and of the checkpoint, and exported", async () => {
      const during = whole.findLast((event) => event.kind === "evaluation");
      const lossOf = async (checkpoint: string) => {
        const job = { checkpoint, split: "test", batchSize: 8 } as const;
        const result = (await Array.fromAsync(engine.evaluate({ ...job, limit: 16 }, never))).at(-1);
        assert(result?.kind === "result");
        return result.result.metrics.loss;
      };
      const loss = await lossOf(pathOf("whole"));
      assert(during?.kind === "evaluation");
      assertAlmostEquals(loss, during.metrics.loss, 1e-6);
      assert(Math.abs(await lossOf(pathOf("plain")) - loss) > 1e-3);
      const exported = await engine.exportModel({ checkpoint: pathOf("whole"), optimizerState: false }, never);
      assertEquals(await lossOf(exported.path), loss);
      const weights = decodeCheckpoint(await read(exported.path));
      for (const [name, tensor] of weights.parameters) {
        assertEquals(tensor, last.states.get(`optimizer.average.${name}`));
      }
      assertEquals([...weights.states.keys()].filter((name) => name.startsWith("optimizer.")), []);
      const job = { checkpoint: pathOf("whole"), optimizerState: false, format: "pytorch" } as const;
      const { tensors } = readSafetensors(await read((await engine.exportModel(job, never)).path));
      assertEquals(tensors["conv1.weight"].data, weights.parameters.get("stem.conv.weight")?.data);
    });

    await t.step("the average is what is analysed", async () => {
      const { isAverage, blocks } = await engine.analyze(pathOf("whole"), never);
      const block = blocks.find(({ coefficient }) => coefficient);
      assertEquals(block?.coefficient?.mean, last.states.get(`optimizer.average.${block?.name}.k`)?.data[0]);
      assertEquals([isAverage, (await engine.analyze(pathOf("plain"), never)).isAverage], [true, false]);
    });

    await t.step("clipping changes the steps", async () => {
      await train(engine, "unbounded", { changes: { clipGlobalNorm: 0 } });
      const unbounded = decodeCheckpoint(await read(pathOf("unbounded")));
      const [bias, clipped] = [unbounded, last].map(({ parameters }) => [...parameters.get("head.linear.bias")!.data]);
      assert(bias.some((value, i) => value !== clipped[i]));
    });

    await t.step("another decay of the average is another run", async () => {
      const another = () => train(engine, "whole", { resume: true, changes: { emaDecay: 0.9, epochs: 2 } });
      await assertRejects(another, EngineError, "another emaDecay");
    });
  });
});
