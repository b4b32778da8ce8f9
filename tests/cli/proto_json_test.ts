import { create } from "@bufbuild/protobuf";
import { assertEquals } from "@std/assert";
import { messageToJson } from "../../src/cli/proto_json.ts";
import {
  AdapterSchema,
  EvaluateResponseSchema,
  ImageSchema,
  ModelDescriptionSchema,
  RunSchema,
  RunState,
} from "../../src/gen/mod.ts";

Deno.test("messageToJson() writes field names as the .proto files do and 64-bit numbers as numbers", () => {
  const model = create(ModelDescriptionSchema, {
    name: "lm-resnet-20",
    parameters: 269_734n,
    multiplyAdds: 40_551_040n,
    layers: [{ name: "stem", outputShape: [32, 32, 16] }],
  });
  assertEquals(messageToJson(ModelDescriptionSchema, model), {
    name: "lm-resnet-20",
    scheme: "",
    classes: 0,
    parameters: 269734,
    multiply_adds: 40551040,
    layers: [{ name: "stem", kind: "", output_shape: [32, 32, 16], parameters: 0, multiply_adds: 0 }],
  });
});

Deno.test("messageToJson() writes states without their prefix, times, and optional fields only where set", () => {
  const run = create(RunSchema, {
    name: "runs/a",
    state: RunState.RUNNING,
    createTime: { seconds: 1_767_323_045n, nanos: 678_000_000 },
    config: { dataset: "mnist", seed: 0n },
    progress: { step: 0 },
  });
  const json = messageToJson(RunSchema, run);
  assertEquals([json.state, json.create_time], ["RUNNING", "2026-01-02T03:04:05.678Z"]);
  assertEquals(json.config, {
    dataset: "mnist",
    seed: 0,
    precision: "UNSPECIFIED",
    data_path: "UNSPECIFIED",
    recipe: "",
  });
  assertEquals("end_time" in json, false);
  assertEquals(json.progress, { step: 0, total_steps: 0, epoch: 0, total_epochs: 0, images_per_second: 0 });
});

Deno.test("messageToJson() writes maps as objects, bytes as base64, and of a oneof what is set", () => {
  const adapter = create(AdapterSchema, { features: ["f16"], limits: { maxBufferSize: 268_435_456n } });
  assertEquals(messageToJson(AdapterSchema, adapter).limits, { maxBufferSize: 268435456 });
  const image = create(ImageSchema, { content: { case: "encoded", value: new Uint8Array([1, 2, 3]) } });
  assertEquals(messageToJson(ImageSchema, image), { encoded: "AQID" });
  assertEquals(messageToJson(EvaluateResponseSchema, create(EvaluateResponseSchema)), {});
});

Deno.test("messageToJson() stays JSON where a loss is no number any more", () => {
  const run = create(RunSchema, { evaluation: { loss: NaN, top1: Infinity } });
  const { evaluation } = messageToJson(RunSchema, run);
  assertEquals(JSON.parse(JSON.stringify(evaluation)), { loss: "NaN", top1: "Infinity", top5: 0, images: 0 });
});

Deno.test("messageToJson() writes the number of a state it does not know", () => {
  assertEquals(messageToJson(RunSchema, create(RunSchema, { state: 77 as RunState })).state, "77");
});
