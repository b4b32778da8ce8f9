import { assertEquals } from "@std/assert";
import { toPrediction } from "../../src/server/convert/inference.ts";
import { toRunEvent } from "../../src/server/convert/run.ts";

Deno.test("toPrediction() gives the most probable classes first, equal ones by index", () => {
  const probabilities = Float32Array.of(0.25, 0.125, 0.5, 0.125);
  const names = ["a", "b", "c", "d"];
  const top = (topK: number) =>
    toPrediction(probabilities, names, topK).top?.map(({ classIndex, className, probability }) =>
      `${classIndex} ${className} ${probability}`
    );
  assertEquals(top(2), ["2 c 0.5", "0 a 0.25"]);
  assertEquals(top(9), ["2 c 0.5", "0 a 0.25", "1 b 0.125", "3 d 0.125"]);
});

Deno.test("toRunEvent() tells how many kernels are measured, or how many pipelines are compiled", () => {
  const about = { run: "a", sequence: 1, time: 0, attempt: 1, step: 0, epoch: 0 };
  const valueOf = (
    counts: { pipelinesReady: number; pipelinesTotal: number; tuning?: { done: number; total: number } },
  ) => toRunEvent({ ...about, body: { kind: "preparing", ...counts } }).kind?.value;
  const compiled = { pipelinesReady: 3, pipelinesTotal: 12 };
  assertEquals(valueOf(compiled), { ...compiled, kernelsMeasured: undefined, kernelsTotal: undefined });
  const none = { pipelinesReady: 0, pipelinesTotal: 0 };
  const measured = { ...none, kernelsMeasured: 5, kernelsTotal: 20 };
  assertEquals(valueOf({ ...none, tuning: { done: 5, total: 20 } }), measured);
});
