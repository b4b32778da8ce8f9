/** Processes that are killed at any moment lose nothing of a run and repeat nothing. */
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import type { RunEvent } from "../../../src/server/runs/run.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { stepsPerEpoch } from "../../support/fake_engine.ts";
import { assertWholeLog, finalWeights, quick } from "../../support/training_runs.ts";

const kills = 50;
const config = { ...quick, epochs: 400, checkpointEverySteps: 7, seed: 11 };
const script = new URL("../../support/runs_process.ts", import.meta.url).pathname;

function spawn(folder: string): Deno.ChildProcess {
  const args = ["run", "-A", "--no-check", script, folder, JSON.stringify(config)];
  return new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
}

/** Kills a process some time after it has begun, unless it has come to its end. */
async function killAfter(child: Deno.ChildProcess, milliseconds: number): Promise<boolean> {
  const reader = child.stdout.getReader();
  await reader.read();
  const timer = setTimeout(() => child.kill("SIGKILL"), milliseconds);
  const { signal } = await child.status;
  clearTimeout(timer);
  await reader.cancel();
  return signal === "SIGKILL";
}

/** All that the store has of the one run. */
function logIn(folder: string): readonly RunEvent[] {
  const store = RunStore.open(join(folder, "runs.sqlite"));
  try {
    const [run] = store.list({ limit: 1 }).runs;
    return run ? store.events(run.id, 0, 1e6) : [];
  } finally {
    store.close();
  }
}

Deno.test(`${kills} kill -9 at random moments: no event lost or repeated, the weights those of a run never killed`, async () => {
  const folder = Deno.makeTempDirSync();
  let known: readonly RunEvent[] = [];
  let killed = 0;
  while (killed < kills) {
    // The run takes some seconds in all, so most are killed in the middle; the last ones may find it over.
    if (!await killAfter(spawn(folder), Math.random() * 60)) break;
    killed++;
    const log = logIn(folder);
    assertEquals(log.slice(0, known.length), known);
    known = log;
  }
  const { success } = await spawn(folder).status;
  const log = logIn(folder);
  assert(success && killed > kills / 2, `killed ${killed} times`);
  assertEquals(log.slice(0, known.length), known);
  assertWholeLog(log, config);
  const path = join(folder, "runs", log[0].run, "checkpoints", `step-0000${config.epochs * stepsPerEpoch}.safetensors`);
  assertEquals(JSON.parse(Deno.readTextFileSync(path)).weights, finalWeights(config));
  Deno.removeSync(folder, { recursive: true });
});
