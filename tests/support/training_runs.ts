/** Training runs over the fake engine and a store of their own, without a server. */
import { join } from "node:path";
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { TrainingConfig } from "../../src/engine/mod.ts";
import { Log } from "../../src/server/log.ts";
import type { RunEvent } from "../../src/server/runs/run.ts";
import type { FeedItem } from "../../src/server/runs/run_feed.ts";
import { RunStore } from "../../src/server/runs/store.ts";
import { TrainingRuns, type TrainingRunsOptions } from "../../src/server/runs/training_runs.ts";
import { FakeEngine, type FakeEngineOptions } from "./fake_engine.ts";
import { metricsOf, nextWeights, stepsPerEpoch } from "./fake_training.ts";

/** Four steps. */
export const quick: TrainingConfig = {
  model: { name: "lm-resnet-20" },
  dataset: "digits",
  epochs: 1,
  batchSize: 64,
  seed: 0,
  learningRate: 0.1,
  momentum: 0.9,
  weightDecay: 1e-4,
  decayMultistepCoefficients: true,
  milestones: [],
  factor: 0.1,
  labelSmoothing: 0,
  cropPadding: 2,
  horizontalFlip: false,
  precision: "f32",
  evaluateEveryEpochs: 1,
  checkpointEverySteps: 0,
  checkpointsKept: 2,
  maxRetries: 0,
};
/** Goes on until it is stopped. */
export const long = { ...quick, epochs: 100_000 };
export const forever = new AbortController().signal;

export interface Fixture {
  readonly runs: TrainingRuns;
  readonly store: RunStore;
  readonly engine: FakeEngine;
  readonly folder: string;
  readonly logs: string[];
  start(config: TrainingConfig, requestId?: string): Promise<string>;
  events(id: string): Promise<RunEvent[]>;
}

export interface FixtureOptions {
  readonly fake?: FakeEngineOptions;
  readonly runs?: Partial<TrainingRunsOptions>;
  /** Default: a new one. It is left where it is given. */
  readonly folder?: string;
}

export function withRuns(test: (fixture: Fixture) => Promise<void>, options: FixtureOptions = {}): () => Promise<void> {
  return async () => {
    const folder = options.folder ?? Deno.makeTempDirSync();
    const store = RunStore.open(join(folder, "runs.sqlite"));
    const engine = new FakeEngine(folder, options.fake);
    const logs: string[] = [];
    const log = new Log((line) => logs.push(line));
    const runs = new TrainingRuns({ store, engine, log, dataDir: folder, watchBatch: 3, ...options.runs });
    runs.begin();
    try {
      await test({
        runs,
        store,
        engine,
        folder,
        logs,
        start: async (config, requestId) => (await runs.start(config, { requestId, requestDigest: "d" })).id,
        events: (id) => collect(runs.watch(id, 0, forever)),
      });
    } finally {
      await runs.close();
      store.close();
      if (options.folder === undefined) Deno.removeSync(folder, { recursive: true });
    }
  };
}

/** "state QUEUED", "progress", ... */
export function outline(events: readonly RunEvent[]): string[] {
  return events.map(({ body }) => body.kind === "state" ? `state ${body.state}` : body.kind);
}

/** The states that a log tells, in order. */
export function states(events: readonly RunEvent[]): string[] {
  return events.flatMap(({ body }) => body.kind === "state" ? [body.state] : []);
}

/**
 * Holds the log of a run that came to its end to what all logs promise: no sequence missing, every step's metrics in
 * one progress event, every evaluation and checkpoint once, attempts and times that never go back.
 */
export function assertWholeLog(events: readonly RunEvent[], { seed, batchSize, epochs }: TrainingConfig): void {
  assertEquals(sequences(events), events.map((_, index) => index + 1));
  let covered = 0;
  for (const { step, body } of events) {
    if (body.kind !== "progress") continue;
    assertEquals(body.firstStep, covered + 1);
    const steps = Array.from({ length: step - covered }, (_, index) => metricsOf(seed, covered + 1 + index, batchSize));
    assertEquals(body.metrics.images, batchSize * steps.length);
    assertAlmostEquals(body.metrics.loss, steps.reduce((sum, { loss }) => sum + loss, 0) / steps.length, 1e-9);
    covered = step;
  }
  assertEquals(covered, epochs * stepsPerEpoch);
  const evaluations = events.filter(({ body }) => body.kind === "evaluation").map(({ step }) => step);
  assertEquals(evaluations, [...new Set(evaluations)].sort((a, b) => a - b));
  const checkpoints = events.flatMap(({ body }) => body.kind === "checkpoint" ? [body.checkpoint.path] : []);
  // One that could not be used is written again.
  const refused = events.flatMap(({ body }) => body.kind === "resumed" ? body.refused : []);
  if (refused.length === 0) assertEquals(checkpoints, [...new Set(checkpoints)].sort());
  for (const [index, { attempt, time }] of events.entries()) {
    if (index > 0) assert(attempt >= events[index - 1].attempt && time >= events[index - 1].time);
  }
}

/** What the fake engine's weights are after all steps. */
export function finalWeights({ seed, epochs }: TrainingConfig): number {
  let weights = seed;
  for (let step = 1; step <= epochs * stepsPerEpoch; step++) weights = nextWeights(weights, step);
  return weights;
}

export async function collect(items: AsyncIterable<FeedItem>): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const item of items) if (item.kind === "event") events.push(item.event);
  return events;
}

export function sequences(events: readonly RunEvent[]): number[] {
  return events.map(({ sequence }) => sequence);
}

export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!condition()) {
    assert(performance.now() < deadline, `It did not come to this within 30 s: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
