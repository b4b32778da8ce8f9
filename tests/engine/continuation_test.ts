/** What a job does that is to go on from checkpoints of something else. Nothing of it comes as far as the GPU. */
import { assertEquals, assertRejects } from "@std/assert";
import { DatasetRegistry } from "../../src/data/mod.ts";
import type { EngineContext } from "../../src/engine/context.ts";
import { EngineError, type TrainingConfig } from "../../src/engine/mod.ts";
import { train } from "../../src/engine/training.ts";
import type { GpuDevice } from "../../src/gpu/mod.ts";
import { encodeCheckpoint } from "../../src/models/mod.ts";
import { checkpointAt } from "../support/checkpoints.ts";
import { smallConfig } from "../support/small_training.ts";

const never = new AbortController().signal;

function contextWithoutGpu(dataDir: string): EngineContext {
  const target = {
    software: false,
    subgroupSize: 0,
    maxUniformBindingBytes: 65536,
    maxStorageBindingBytes: 2 ** 30,
    maxBufferBytes: 2 ** 30,
    maxWorkgroupsPerDimension: 65535,
  };
  const device = { target, adapter: { features: [] }, memoryBudget: undefined } as unknown as GpuDevice;
  return { device, datasets: new DatasetRegistry(dataDir), dataDir, releaseMemory: async () => {} };
}

Deno.test("train() does not begin anew, over its checkpoints, where those are of another data set", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-continuation-" });
  const config: TrainingConfig = { ...smallConfig, epochs: 1 };
  const folder = `${dataDir}/runs/a/checkpoints`;
  await Deno.mkdir(folder, { recursive: true });
  const file = `${folder}/step-00000003.safetensors`;
  const bytes = encodeCheckpoint({ ...checkpointAt(3), configuration: config });
  await Deno.writeFile(file, bytes);
  const job = { config, folder: "runs/a", resume: true };
  const training = train(contextWithoutGpu(dataDir), job, { signal: never, pause: never });
  const error = await assertRejects(() => training.next(), EngineError, "mnist is not the one it was trained on");
  assertEquals(error.kind, "invalid");
  assertEquals(await Deno.readFile(file), bytes);
  // What is damaged is no reason not to begin anew.
  await Deno.truncate(file, 100);
  const { value } = await train(contextWithoutGpu(dataDir), job, { signal: never, pause: never }).next();
  assertEquals([value?.kind, value?.step, value?.kind === "resumed" && value.refused.length], ["resumed", 0, 1]);
  await Deno.remove(dataDir, { recursive: true });
});
