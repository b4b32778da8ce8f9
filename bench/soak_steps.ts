/**
 * Trains a small network for 2,000 steps and tells the process's resident memory on the way: it has to stay flat from
 * step 200, when everything has been made. Not part of CI:
 *
 *   ./multistep deno run --allow-all bench/soak_steps.ts
 */
import { DatasetRegistry } from "../src/data/mod.ts";
import type { TrainingConfig } from "../src/engine/messages.ts";
import { train } from "../src/engine/training.ts";
import { GpuDevice } from "../src/gpu/mod.ts";

const STEPS = 2000;
const TOLD_EVERY = 200;
const BATCH = 4;
/** Of the memory at the first of the steps told. */
const ALLOWED_GROWTH = 0.05;

const config: TrainingConfig = {
  model: { name: "lm-resnet-14" },
  dataset: "mnist",
  epochs: 1,
  batchSize: BATCH,
  seed: 1,
  limitTrain: STEPS * BATCH,
  limitTest: BATCH,
  learningRate: 0.01,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [],
  factor: 0.1,
  labelSmoothing: 0,
  cropPadding: 2,
  horizontalFlip: false,
  precision: "f32",
  evaluateEveryEpochs: 0,
  checkpointEverySteps: 0,
  checkpointsKept: 2,
  maxRetries: 0,
};

/** Resident bytes at every TOLD_EVERY steps. */
async function* soak(): AsyncGenerator<{ readonly step: number; readonly bytes: number; readonly heap: number }> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-soak-" });
  const device = await GpuDevice.open();
  try {
    const context = { device, datasets: new DatasetRegistry(dataDir), dataDir, releaseMemory: async () => {} };
    const never = new AbortController().signal;
    const job = { config, folder: "runs/soak", resume: false };
    for await (const event of train(context, job, { signal: never, pause: never })) {
      if (event.kind !== "progress" || event.step % TOLD_EVERY !== 0) continue;
      const { rss, heapUsed } = Deno.memoryUsage();
      yield { step: event.step, bytes: rss, heap: heapUsed };
    }
  } finally {
    device.destroy();
    await Deno.remove(dataDir, { recursive: true });
  }
}

function tell(values: Record<string, number | string>): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(values)}\n`));
}

let first: number | undefined;
let last = 0;
for await (const { step, bytes, heap } of soak()) {
  first ??= bytes;
  last = bytes;
  tell({ benchmark: "soak", case: `resident memory at step ${step}`, median: bytes, unit: "bytes", heap });
}
const growth = first === undefined ? 0 : last / first - 1;
tell({ benchmark: "soak", case: `growth from step ${TOLD_EVERY} to ${STEPS}`, median: growth, unit: "fraction" });
Deno.exit(growth <= ALLOWED_GROWTH ? 0 : 1);
