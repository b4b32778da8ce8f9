/** What a step depends on besides weights, momentum and data: it goes on where a paused run stood, bit for bit. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { type Engine, startEngine, type TrainingConfig, type TrainingEvent } from "../../src/engine/mod.ts";
import { smallConfig } from "../support/small_training.ts";

const never = new AbortController().signal;

/** Two epochs of six steps; the warm-up ends within the second. */
const config: TrainingConfig = {
  ...smallConfig,
  epochs: 2,
  nesterov: true,
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

Deno.test("train() paused in the warm-up and resumed ends with the bits of the uninterrupted run", async () => {
  await withEngine(async (engine, dataDir) => {
    const whole = await train(engine, "whole");
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
    const last = (run: string) => Deno.readFile(`${dataDir}/runs/${run}/checkpoints/step-00000012.safetensors`);
    assertEquals(await last("paused"), await last("whole"));
  });
});
