import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { defaultLimits } from "../../../src/server/inference/batcher.ts";
import { Inference } from "../../../src/server/inference/inference.ts";
import { WeightsFinder } from "../../../src/server/inference/weights.ts";
import type { Run } from "../../../src/server/runs/run.ts";
import { FakeEngine } from "../../support/fake_engine.ts";

Deno.test("Inference asks anew for the input of a path, whose file may be another by now, and once for that of a run", async () => {
  const folder = Deno.makeTempDirSync();
  Deno.writeTextFileSync(join(folder, "mine"), "");
  const engine = new FakeEngine(folder);
  let asked = 0;
  const describe = engine.describeCheckpoint.bind(engine);
  engine.describeCheckpoint = (checkpoint, signal) => {
    asked++;
    return describe(checkpoint, signal);
  };
  const run = { state: "SUCCEEDED", checkpoints: [{ path: "mine" }] } as unknown as Run;
  const inference = new Inference(engine, new WeightsFinder({ get: () => run }, folder), defaultLimits);
  const image = { kind: "raw", size: { height: 4, width: 4, channels: 1 }, pixels: new Uint8Array(16) } as const;
  const never = new AbortController().signal;
  for (let i = 0; i < 3; i++) await inference.infer({ kind: "run", id: "a" }, [image], never);
  assertEquals(asked, 1);
  for (let i = 0; i < 3; i++) await inference.infer({ kind: "checkpoint", path: "mine" }, [image], never);
  assertEquals(asked, 4);
  Deno.removeSync(folder, { recursive: true });
});
