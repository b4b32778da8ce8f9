/** A run stopped in every way and resumed is the run that was never stopped, bit for bit. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Engine,
  EngineError,
  startEngine,
  type TrainingConfig,
  type TrainingEvent,
} from "../../src/engine/mod.ts";
import { decodeCheckpoint } from "../../src/models/mod.ts";
import { smallConfig, workerProcessId } from "../support/small_training.ts";

const never = new AbortController().signal;
const folder = "runs/stopped";

/** Crops, mirrors, dropped blocks and noise. Steps 4, 8, 12, 16 within epochs of 6 steps, and 6, 12, 18 after them. */
const config: TrainingConfig = {
  ...smallConfig,
  checkpointEverySteps: 4,
  stochastic: {
    depth: { survival: 0.5, rule: "zero_based", scaling: "training" },
    noise: { kind: "gaussian_then_uniform", sigma: 0.001 },
  },
};

/** An event without what depends on the clock, on the run's folder, and on where it was paused (which files are kept). */
function timeless(event: TrainingEvent): unknown {
  const text = JSON.stringify(event, (key, value) => {
    if (["imagesPerSecond", "dataWait", "secondsLeft", "kept"].includes(key)) return undefined;
    return typeof value === "string" ? value.replace(/^runs\/[a-z]+\//, "") : value;
  });
  return JSON.parse(text);
}

interface Attempt {
  readonly events: readonly TrainingEvent[];
  readonly error?: unknown;
}

/** Trains until the end, or until `stop` has its way at a step. */
async function attempt(
  engine: Engine,
  options: { resume: boolean; atStep?: number; stop?: (controls: { abort(): void; pause(): void }) => void },
): Promise<Attempt> {
  const aborting = new AbortController();
  const pausing = new AbortController();
  const controls = { abort: () => aborting.abort(), pause: () => pausing.abort() };
  const events: TrainingEvent[] = [];
  try {
    const job = { config, folder, resume: options.resume };
    for await (const event of engine.train(job, aborting.signal, pausing.signal)) {
      events.push(event);
      if (event.kind === "progress" && event.step === options.atStep) options.stop?.(controls);
    }
    return { events };
  } catch (error) {
    return { events, error };
  }
}

/** The steps of the checkpoints that a run has on disk, ascending. */
function stepsOnDisk(dataDir: string): number[] {
  const names = [...Deno.readDirSync(`${dataDir}/${folder}/checkpoints`)].map(({ name }) => name);
  return names.map((name) => Number(/^step-(\d{8})\.safetensors$/.exec(name)?.[1])).sort((a, b) => a - b);
}

function pathOf(step: number): string {
  return `${folder}/checkpoints/step-${String(step).padStart(8, "0")}.safetensors`;
}

Deno.test("train() resumed after abort, kill -9, pause and damage repeats the uninterrupted run bit for bit", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-resume-" });
  const engine = await startEngine({ dataDir });
  let reference: readonly TrainingEvent[] = [];

  /** Checks that an attempt began at the newest checkpoint, and went on as the uninterrupted run did. */
  const assertGoesOn = ({ events }: Attempt, from: number) => {
    const [first, ...rest] = events;
    assert(first.kind === "resumed");
    assertEquals([first.step, first.from?.path], [from, from === 0 ? undefined : pathOf(from)]);
    const told = rest.filter(({ kind }) => !["preparing", "checkpointing", "paused"].includes(kind)).map(timeless);
    const isLater = ({ kind, step }: TrainingEvent) =>
      step > from || (step === from && from === 0 && kind !== "resumed");
    const expected = reference.filter(isLater).map(timeless);
    assertEquals(told, expected.slice(0, told.length));
    return first;
  };
  const newestOnDisk = () => stepsOnDisk(dataDir).at(-1) ?? 0;

  try {
    await t.step("the uninterrupted run", async () => {
      const events = await Array.fromAsync(engine.train({ config, folder: "runs/whole", resume: false }, never));
      reference = events.filter(({ kind }) => kind !== "preparing" && kind !== "checkpointing");
      const steps = (kind: string) => reference.filter((event) => event.kind === kind).map(({ step }) => step);
      assertEquals(steps("progress"), Array.from({ length: 18 }, (_, i) => i + 1));
      assertEquals([steps("checkpoint"), steps("evaluation")], [[4, 6, 8, 12, 16, 18], [6, 12, 18]]);
      const last = reference.at(-1);
      assert(last?.kind === "checkpoint" && last.kept.length >= 2 && last.kept.at(-1) === last.checkpoint.path);
    });

    await t.step("aborted: from the newest checkpoint", async () => {
      const { error } = await attempt(engine, { resume: false, atStep: 1, stop: ({ abort }) => abort() });
      assert(error instanceof DOMException && error.name === "AbortError");
    });

    await t.step("kill -9 of the worker: the job fails as a fault, and another worker goes on", async () => {
      const changes: boolean[] = [];
      engine.onAvailability((available) => changes.push(available));
      const from = newestOnDisk();
      const stopped = await attempt(engine, {
        resume: true,
        atStep: from + 5,
        stop: () => Deno.kill(workerProcessId(dataDir), "SIGKILL"),
      });
      assertGoesOn(stopped, from);
      assert(stopped.error instanceof EngineError && stopped.error.kind === "fault", String(stopped.error));
      await engine.check(config);
      assertEquals(changes, [false, true]);
    });

    await t.step("paused: a checkpoint where it stands, from which it goes on", async () => {
      const from = newestOnDisk();
      const stopped = await attempt(engine, { resume: true, atStep: from + 2, stop: ({ pause }) => pause() });
      const last = stopped.events.at(-1);
      assert(last?.kind === "paused", String(stopped.error));
      assertEquals(newestOnDisk(), last.step);
    });

    await t.step(
      "the newest checkpoint damaged: refused by name, the one before is used; the end is the same",
      async () => {
        const [before, damaged] = stepsOnDisk(dataDir).slice(-2);
        const file = `${dataDir}/${pathOf(damaged)}`;
        const bytes = await Deno.readFile(file);
        bytes[bytes.length - 1] ^= 1;
        await Deno.writeFile(file, bytes);
        await Deno.writeTextFile(`${file}.partial`, "half");
        const ended = await attempt(engine, { resume: true });
        const { refused } = assertGoesOn(ended, before);
        assertEquals(refused.map(({ path }) => path), [pathOf(damaged)]);
        assert(refused[0].reason.includes("checksum"), refused[0].reason);
        assertEquals([ended.error, ended.events.at(-1)?.step], [undefined, 18]);
        const [stopped, whole] = [folder, "runs/whole"].map((run) =>
          `${dataDir}/${run}/checkpoints/step-00000018.safetensors`
        );
        assertEquals(await Deno.readFile(stopped), await Deno.readFile(whole));
      },
    );

    await t.step("resumed at the end: nothing is left to do", async () => {
      const { events } = await attempt(engine, { resume: true });
      assertEquals(events.map(({ kind, step }) => [kind, step]), [["resumed", 18]]);
    });

    await t.step(
      "paused and resumed in mixed precision: the same, the loss scale and its counters included",
      async () => {
        if (!engine.adapter.features.includes("shader-f16")) return;
        const mixed = { ...config, precision: "mixed", epochs: 1 } as const;
        const runTo = async (run: string, { resume = false, pauseAt = Infinity } = {}) => {
          const pausing = new AbortController();
          for await (const event of engine.train({ config: mixed, folder: run, resume }, never, pausing.signal)) {
            if (event.kind === "progress" && event.step === pauseAt) pausing.abort();
          }
        };
        await runTo("runs/mixed-whole");
        await runTo("runs/mixed", { pauseAt: 1 });
        await runTo("runs/mixed", { resume: true });
        const read = (run: string) => Deno.readFile(`${dataDir}/${run}/checkpoints/step-00000006.safetensors`);
        const [whole, resumed] = [await read("runs/mixed-whole"), await read("runs/mixed")];
        assertEquals(resumed, whole);
        const { states } = decodeCheckpoint(whole);
        const [good, skipped] = ["good_steps", "skipped_steps"].map((name) => states.get(`optimizer.${name}`)?.data[0]);
        assert(good !== undefined && skipped !== undefined && good > 0 && good + skipped === 6);
        const weights = await engine.exportModel({
          checkpoint: "runs/mixed/checkpoints/step-00000006.safetensors",
          optimizerState: false,
        }, never);
        const exported = decodeCheckpoint(await Deno.readFile(`${dataDir}/${weights.path}`));
        const names = [...exported.states.keys()];
        assertEquals(names, [...states.keys()].filter((name) => !name.startsWith("optimizer.")));
      },
    );

    await t.step("checkpoints of another configuration are refused", async () => {
      const job = { config: { ...config, learningRate: 0.5 }, folder, resume: true };
      const error = await assertRejects(() => Array.fromAsync(engine.train(job, never)), EngineError);
      assert(error.message.includes("another learningRate"), error.message);
    });
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
});
