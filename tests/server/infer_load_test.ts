/** Many callers of inference at once, over gRPC. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertStatus, type EventMessage, GrpcClient, quickConfig, Status } from "../support/grpc_client.ts";
import { startTestServer } from "../support/test_server.ts";

interface InferMessage {
  readonly predictions: readonly { readonly top: readonly { readonly class_index: number }[] }[];
}

async function trainedRun(client: GrpcClient): Promise<string> {
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  return event.run;
}

function inferRequest(run: string, ...classes: readonly number[]) {
  const image = (index: number) => ({
    raw: { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16).fill(index) },
  });
  return { source: { run }, images: classes.map(image), top_k: 1 };
}

Deno.test("concurrent Infer callers share batches, and each gets its own answer", async () => {
  await using server = await startTestServer({ fake: { inferenceTime: 20 } });
  using client = new GrpcClient(server.address);
  const run = await trainedRun(client);
  const callers = Array.from({ length: 24 }, (_, caller) => caller % 4);
  const answers = await Promise.all(
    callers.map((index) => client.unary<InferMessage>("InferenceService/Infer", inferRequest(run, index))),
  );
  assertEquals(answers.map(({ predictions }) => predictions[0].top[0].class_index), callers);
  const batches = server.engine.inferences.map(({ images }) => images);
  assertEquals(batches.reduce((a, b) => a + b, 0), 24);
  assert(batches.length <= 6, `24 callers made ${batches.length} batches`);
});

Deno.test("an Infer call past the queue is RESOURCE_EXHAUSTED, naming the limit; the others are answered", async () => {
  await using server = await startTestServer({
    fake: { inferenceTime: 200 },
    inferenceLimits: { maxWait: 0, queue: 2 },
  });
  using client = new GrpcClient(server.address);
  const run = await trainedRun(client);
  const infer = (...classes: readonly number[]) =>
    client.unary<InferMessage>("InferenceService/Infer", inferRequest(run, ...classes));
  await assertStatus(infer(0, 1, 2), Status.RESOURCE_EXHAUSTED, "2 may wait");
  const computed = infer(3);
  while (server.engine.inferences.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  const outcomes = await Promise.allSettled([infer(0), infer(1), infer(2)]);
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assertEquals(refused.length, 1);
  assertStringIncludes(String(refused[0].reason), "RESOURCE_EXHAUSTED");
  assertEquals((await computed).predictions[0].top[0].class_index, 3);
  assertEquals(server.engine.inferences.map(({ images }) => images), [1, 2]);
});

Deno.test("a deadline of one Infer caller leaves the others of its batch alone", async () => {
  await using server = await startTestServer({
    fake: { inferenceTime: 300 },
    inferenceLimits: { maxWait: 50, queue: 10 },
  });
  using client = new GrpcClient(server.address);
  const run = await trainedRun(client);
  const patient = client.unary<InferMessage>("InferenceService/Infer", inferRequest(run, 1));
  const hasty = client.unary("InferenceService/Infer", inferRequest(run, 2), { deadline: Date.now() + 150 });
  await assertStatus(hasty, Status.DEADLINE_EXCEEDED);
  assertEquals((await patient).predictions[0].top[0].class_index, 1);
  assertEquals(server.engine.inferences.map(({ images }) => images), [2]);
});
