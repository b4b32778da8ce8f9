import { assertEquals, assertRejects } from "@std/assert";
import { EngineError, type InferenceJob } from "../../../src/engine/mod.ts";
import { InferenceBatcher } from "../../../src/server/inference/batcher.ts";
import { classNames, FakeEngine } from "../../support/fake_engine.ts";

const forever = new AbortController().signal;

/** An image that the fake engine takes for a class. */
function imageOf(classIndex: number): Uint8Array {
  return new Uint8Array(16).fill(classIndex);
}

function bestClass(probabilities: Float32Array): number {
  return probabilities.indexOf(Math.max(...probabilities));
}

Deno.test("InferenceBatcher puts together what waits, and gives each image its own row", async () => {
  const engine = new FakeEngine("", { inferenceTime: 5 });
  const batcher = new InferenceBatcher(engine);
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, index) => batcher.infer("a", imageOf(index % 4), forever)),
  );
  assertEquals(
    results.map(({ probabilities }) => bestClass(probabilities)),
    Array.from({ length: 100 }, (_, i) => i % 4),
  );
  assertEquals(results[0].classNames, classNames);
  assertEquals(engine.inferences.map(({ images }) => images), [1, 64, 35]);
});

Deno.test("InferenceBatcher keeps checkpoints apart", async () => {
  const engine = new FakeEngine("", { inferenceTime: 5 });
  const batcher = new InferenceBatcher(engine);
  await Promise.all(["a", "b", "a", "b"].map((checkpoint) => batcher.infer(checkpoint, imageOf(1), forever)));
  assertEquals(engine.inferences.map(({ checkpoint, images }) => `${checkpoint} ${images}`), [
    "a 1",
    "b 1",
    "a 1",
    "b 1",
  ]);
});

Deno.test("InferenceBatcher leaves out images whose call was given up", async () => {
  const engine = new FakeEngine("", { inferenceTime: 5 });
  const batcher = new InferenceBatcher(engine);
  const abort = new AbortController();
  const first = batcher.infer("a", imageOf(0), forever);
  const second = assertRejects(() => batcher.infer("a", imageOf(1), abort.signal), Error, "given up");
  const third = batcher.infer("a", imageOf(2), forever);
  abort.abort(new Error("given up"));
  await Promise.all([first, second, third]);
  assertEquals(bestClass((await third).probabilities), 2);
  assertEquals(engine.inferences.map(({ images }) => images), [1, 1]);
});

Deno.test("InferenceBatcher fails the images of a batch that fails, and goes on", async () => {
  let calls = 0;
  const engine = new FakeEngine("");
  const failing = {
    infer(job: InferenceJob, signal: AbortSignal) {
      if (++calls === 1) return Promise.reject(new EngineError("internal", "lost"));
      return engine.infer(job, signal);
    },
  };
  const batcher = new InferenceBatcher(failing);
  await assertRejects(() => batcher.infer("a", imageOf(0), forever), EngineError, "lost");
  assertEquals(bestClass((await batcher.infer("a", imageOf(3), forever)).probabilities), 3);
});
