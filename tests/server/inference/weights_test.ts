/** A run that trains deletes the checkpoint that a request has just been given. */
import { assertEquals, assertRejects } from "@std/assert";
import { EngineError } from "../../../src/engine/mod.ts";
import { WeightsFinder } from "../../../src/server/inference/weights.ts";
import type { Run } from "../../../src/server/runs/run.ts";

const source = { kind: "run", id: "a" } as const;
const gone = (path: string) => new EngineError("not-found", `Cannot find the checkpoint "${path}"`);

/** A finder whose run has written one more checkpoint, and deleted the one before, whenever `next()` is called. */
function finder(): { weights: WeightsFinder; next(): void } {
  let step = 1;
  const run = () => ({ state: "RUNNING", checkpoints: [{ path: `step-${step}` }] }) as unknown as Run;
  return { weights: new WeightsFinder({ get: run }, "/"), next: () => step++ };
}

Deno.test("WeightsFinder.use() takes a newer checkpoint where the run has deleted the one it gave", async () => {
  const { weights, next } = finder();
  const used: string[] = [];
  const result = await weights.use(source, async (checkpoint) => {
    used.push(checkpoint);
    if (used.length < 3) {
      next();
      throw gone(checkpoint);
    }
    return await Promise.resolve("done");
  });
  assertEquals([result, used], ["done", ["step-1", "step-2", "step-3"]]);
});

Deno.test("WeightsFinder.use() does not try again what is missing, or wrong for another reason", async () => {
  const { weights, next } = finder();
  let uses = 0;
  const use = (error: Error, isNew = false) =>
    weights.use(source, () => {
      uses++;
      if (isNew) next();
      return Promise.reject(error);
    });
  await assertRejects(() => use(gone("step-1")), EngineError, "Cannot find");
  await assertRejects(() => use(new EngineError("damaged", "Lost"), true), EngineError, "Lost");
  assertEquals(uses, 2);
  uses = 0;
  await assertRejects(() => use(gone("step"), true), EngineError, "Cannot find");
  assertEquals(uses, 4);
});

Deno.test("WeightsFinder.stream() does the same before the first item, and ends the stream that is left early", async () => {
  const { weights, next } = finder();
  const log: string[] = [];
  async function* work(checkpoint: string) {
    if (checkpoint === "step-1") {
      next();
      throw gone(checkpoint);
    }
    try {
      yield* [`${checkpoint} 1`, `${checkpoint} 2`, `${checkpoint} 3`];
    } finally {
      log.push("ended");
    }
  }
  for await (const item of weights.stream(source, work)) {
    log.push(item);
    if (log.length === 2) break;
  }
  assertEquals(log, ["step-2 1", "step-2 2", "ended"]);
});
