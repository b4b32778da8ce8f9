import { assert, assertEquals, assertRejects } from "@std/assert";
import { EngineError, type InferenceJob } from "../../../src/engine/mod.ts";
import { RequestError } from "../../../src/server/errors.ts";
import { defaultLimits, InferenceBatcher } from "../../../src/server/inference/batcher.ts";
import { classNames, FakeEngine } from "../../support/fake_engine.ts";

const forever = new AbortController().signal;
const eager = { maxWait: 0, queue: 1024 };

/** An image that the fake engine takes for a class. */
function imageOf(classIndex: number): Uint8Array {
  return new Uint8Array(16).fill(classIndex);
}

function bestClass(probabilities: Float32Array): number {
  return probabilities.indexOf(Math.max(...probabilities));
}

function sizesOf(engine: FakeEngine): number[] {
  return engine.inferences.map(({ images }) => images);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

Deno.test("InferenceBatcher puts together what waits, and gives each image its own row", async () => {
  const engine = new FakeEngine("", { inferenceTime: 5 });
  const batcher = new InferenceBatcher(engine, eager);
  const results = await Promise.all(
    Array.from({ length: 300 }, (_, index) => batcher.infer("a", [imageOf(index % 4)], forever)),
  );
  assertEquals(
    results.map(([{ probabilities }]) => bestClass(probabilities)),
    Array.from({ length: 300 }, (_, i) => i % 4),
  );
  assertEquals(results[0][0].classNames, classNames);
  assertEquals(sizesOf(engine), [256, 44]);
});

Deno.test("InferenceBatcher lets a free engine wait for more, no longer than the maximum", async () => {
  const engine = new FakeEngine("");
  const batcher = new InferenceBatcher(engine, { maxWait: 60, queue: 1024 });
  const started = performance.now();
  const first = batcher.infer("a", [imageOf(0), imageOf(1)], forever);
  await pause(20);
  assertEquals(sizesOf(engine), []);
  const second = batcher.infer("a", [imageOf(2)], forever);
  const [[zero, one], [two]] = await Promise.all([first, second]);
  const waited = performance.now() - started;
  assertEquals([zero, one, two].map(({ probabilities }) => bestClass(probabilities)), [0, 1, 2]);
  assertEquals(sizesOf(engine), [3]);
  assert(waited > 55, `computed after ${waited} ms`);
  await batcher.infer("a", Array.from({ length: 256 }, () => imageOf(0)), forever);
  assert(performance.now() - started < waited + 50, "a full batch waited");
});

Deno.test("InferenceBatcher serves concurrent callers in few batches", async () => {
  const engine = new FakeEngine("", { inferenceTime: 4 });
  const batcher = new InferenceBatcher(engine, defaultLimits);
  const caller = async () => {
    for (let call = 0; call < 5; call++) await batcher.infer("a", [imageOf(1)], forever);
  };
  await Promise.all(Array.from({ length: 32 }, caller));
  assert(engine.inferences.length <= 10, `160 calls made ${engine.inferences.length} batches`);
});

Deno.test("InferenceBatcher keeps checkpoints apart", async () => {
  const engine = new FakeEngine("", { inferenceTime: 5 });
  const batcher = new InferenceBatcher(engine, defaultLimits);
  await Promise.all(["a", "b", "a", "b"].map((checkpoint) => batcher.infer(checkpoint, [imageOf(1)], forever)));
  assertEquals(engine.inferences.map(({ checkpoint, images }) => `${checkpoint} ${images}`), ["a 2", "b 2"]);
});

Deno.test("InferenceBatcher refuses images past its queue, and takes more when there is room", async () => {
  const engine = new FakeEngine("", { inferenceTime: 20 });
  const batcher = new InferenceBatcher(engine, { maxWait: 0, queue: 3 });
  const first = batcher.infer("a", [imageOf(0)], forever);
  await pause(1);
  const taken = [first, batcher.infer("a", [imageOf(1), imageOf(2)], forever)];
  const refused = await assertRejects(() => batcher.infer("a", [imageOf(3), imageOf(0)], forever), RequestError);
  assertEquals(refused.kind, "resource-exhausted");
  assertEquals(
    refused.message,
    "Cannot take 2 more images: 2 wait, and 3 may wait (serve --infer-queue)",
  );
  const leave = new AbortController();
  const last = assertRejects(() => batcher.infer("b", [imageOf(3)], leave.signal), Error, "gone");
  leave.abort(new Error("gone"));
  await last;
  await Promise.all([...taken, batcher.infer("a", [imageOf(3)], forever)]);
  assertEquals(sizesOf(engine), [1, 3]);
});

Deno.test("InferenceBatcher leaves out images whose call was given up", async () => {
  const engine = new FakeEngine("", { inferenceTime: 5 });
  const batcher = new InferenceBatcher(engine, eager);
  const abort = new AbortController();
  const first = batcher.infer("a", [imageOf(0)], forever);
  await pause(1);
  const second = assertRejects(() => batcher.infer("a", [imageOf(1)], abort.signal), Error, "given up");
  const third = batcher.infer("a", [imageOf(2)], forever);
  abort.abort(new Error("given up"));
  await Promise.all([first, second, third]);
  assertEquals(bestClass((await third)[0].probabilities), 2);
  assertEquals(sizesOf(engine), [1, 1], "the image given up was computed");
});

Deno.test("InferenceBatcher ends a batch when all its calls were given up, and not before", async () => {
  const engine = new FakeEngine("", { inferenceTime: 60_000 });
  let signal: AbortSignal | undefined;
  const watched = {
    infer(job: InferenceJob, given: AbortSignal) {
      signal = given;
      return engine.infer(job, given);
    },
  };
  const batcher = new InferenceBatcher(watched, defaultLimits);
  const callers = [new AbortController(), new AbortController()];
  const calls = callers.map((caller) => assertRejects(() => batcher.infer("a", [imageOf(0)], caller.signal), Error));
  await pause(20);
  callers[0].abort(new Error("gone"));
  await calls[0];
  assertEquals([sizesOf(engine), signal?.aborted], [[2], false]);
  callers[1].abort(new Error("gone too"));
  await calls[1];
  assertEquals(signal?.aborted, true);
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
  const batcher = new InferenceBatcher(failing, eager);
  await assertRejects(() => batcher.infer("a", [imageOf(0)], forever), EngineError, "lost");
  assertEquals(bestClass((await batcher.infer("a", [imageOf(3)], forever))[0].probabilities), 3);
});
