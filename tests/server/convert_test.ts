import { assertEquals } from "@std/assert";
import { toPrediction } from "../../src/server/convert/inference.ts";

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
