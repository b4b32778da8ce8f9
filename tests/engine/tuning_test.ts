import { assert, assertEquals, assertRejects } from "@std/assert";
import type { GpuDevice } from "../../src/gpu/mod.ts";
import type { TuneMode } from "../../src/engine/messages.ts";
import { inferenceProgram } from "../../src/engine/programs.ts";
import { openTuner, tunePrograms } from "../../src/engine/tuning.ts";
import { testDevice } from "../support/graph_runner.ts";

const images = { height: 8, width: 8, channels: 1, mean: [0], standardDeviation: [1] };
const shape = { model: { name: "lm-resnet-8" }, images, classes: 10 };

async function withDataDir(run: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-engine-tuning-" });
  try {
    await run(dataDir);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("openTuner() measures by itself on hardware alone", async () => {
  await withDataDir(async (dataDir) => {
    const device = await testDevice();
    const opens = async (tune: TuneMode, software: boolean) => {
      const like = { ...device, adapter: { ...device.adapter, software } } as GpuDevice;
      return await openTuner(like, { dataDir, tune, warn: () => {} }) !== undefined;
    };
    assertEquals([await opens("auto", true), await opens("on", true), await opens("off", true)], [false, true, false]);
    assertEquals([await opens("auto", false), await opens("on", false), await opens("off", false)], [
      true,
      true,
      false,
    ]);
  });
});

Deno.test("tunePrograms() does nothing without a tuner, and hears an abort before it measures", async () => {
  await withDataDir(async (dataDir) => {
    const device = await testDevice();
    const program = inferenceProgram(shape, 2);
    const never = new AbortController().signal;
    assertEquals(await Array.fromAsync(tunePrograms({ device }, [program], never)), []);
    const tuner = await openTuner(device, { dataDir, tune: "on", warn: () => {} });
    assert(tuner);
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    await assertRejects(() => Array.fromAsync(tunePrograms({ device, tuner }, [program], aborted)), Error, "enough");
  });
});
