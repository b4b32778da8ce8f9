import { assert, assertEquals, assertRejects } from "@std/assert";
import { trainingProgram } from "../../src/engine/programs.ts";
import { planProgram } from "../../src/engine/runner.ts";
import { toEngineError } from "../../src/engine/errors.ts";
import { type AdapterDescription, GpuError, type Target } from "../../src/gpu/mod.ts";
import type { TrainingConfig } from "../../src/engine/mod.ts";

const target: Target = {
  software: false,
  subgroupSize: 0,
  maxUniformBindingBytes: 65536,
  maxStorageBindingBytes: 2 ** 30,
  maxBufferBytes: 2 ** 30,
  maxWorkgroupsPerDimension: 65535,
};

function deviceWith(features: readonly string[]) {
  const adapter: AdapterDescription = {
    vendor: "",
    architecture: "",
    device: "GeForce GTX 960",
    description: "",
    software: false,
    subgroupSize: 0,
    features,
    limits: {},
  };
  return { adapter, target, memoryBudget: undefined };
}

function program(precision: TrainingConfig["precision"]) {
  const images = { height: 8, width: 8, channels: 3, mean: [0, 0, 0], standardDeviation: [1, 1, 1] };
  return trainingProgram({ model: { name: "lm-resnet-14" }, images, classes: 10 }, {
    momentum: 0.9,
    weightDecay: 0,
    labelSmoothing: 0,
    cropPadding: 0,
    horizontalFlip: false,
    precision,
  }, 4);
}

Deno.test("planProgram() refuses mixed precision where the adapter has no shader-f16, and says what would be right", async () => {
  const planFor = (features: readonly string[], precision: TrainingConfig["precision"]) =>
    planProgram({ device: deviceWith(features) }, program(precision));
  const error = await assertRejects(() => planFor(["subgroups"], "mixed"), GpuError);
  assertEquals(
    error.message,
    'Cannot train in mixed precision on GeForce GTX 960: it has no "shader-f16"; use precision f32',
  );
  assertEquals(toEngineError(error).kind, "unsupported");
  assert((await planFor(["shader-f16"], "mixed")).kernels.length > 0);
  assert((await planFor([], "f32")).kernels.length > 0);
});

Deno.test("trainingProgram() in mixed precision adds the loss scale after the network's own statistics", () => {
  const names = (precision: TrainingConfig["precision"]) =>
    program(precision).graph.states.map(({ tensor }) => tensor.name);
  const own = names("f32");
  assertEquals(names("mixed"), [
    ...own,
    "optimizer.loss_scale",
    "optimizer.good_steps",
    "optimizer.skipped_steps",
  ]);
});
