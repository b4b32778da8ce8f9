/** How calls end: limits, deadlines, cancellation, clients and servers that go away. */
import http2 from "node:http2";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  assertStatus,
  type EventMessage,
  GrpcClient,
  longConfig,
  quickConfig,
  type RunMessage,
  Status,
} from "../support/grpc_client.ts";
import { startTestServer } from "../support/test_server.ts";

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Starts a run that goes on; gives its name and the call that started it. */
async function startLongRun(client: GrpcClient) {
  const call = client.stream("TrainingService/Train", { config: longConfig() });
  call.on("error", () => {});
  const { event } = await new Promise<EventMessage>((resolve) => call.once("data", resolve));
  return { name: event.run, call };
}

async function getRun(client: GrpcClient, name: string): Promise<RunMessage> {
  return (await client.unary<{ run: RunMessage }>("TrainingService/GetRun", { name })).run;
}

Deno.test("a message over the limit is RESOURCE_EXHAUSTED, and the connection goes on", async () => {
  await using server = await startTestServer({ limits: { messageBytes: 100_000 } });
  using client = new GrpcClient(server.address);
  const infer = (bytes: number) =>
    client.unary("InferenceService/Infer", { source: { run: "runs/a" }, images: [{ encoded: new Uint8Array(bytes) }] });
  await assertStatus(infer(100_001), Status.RESOURCE_EXHAUSTED, "100000");
  await assertStatus(infer(99_000), Status.NOT_FOUND, '"runs/a"');
});

Deno.test("the limit is 16 MiB unless given", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const infer = (bytes: number) =>
    client.unary("InferenceService/Infer", { source: { run: "runs/a" }, images: [{ encoded: new Uint8Array(bytes) }] });
  await assertStatus(infer(16 * 1024 * 1024), Status.RESOURCE_EXHAUSTED);
  await assertStatus(infer(15 * 1024 * 1024), Status.NOT_FOUND);
});

Deno.test("a deadline ends a stream, not its run", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  // The first call of a process takes its time.
  await client.unary("CatalogService/GetServerInfo");
  const deadline = Date.now() + 500;
  await assertStatus(
    client.collect("TrainingService/Train", { config: longConfig() }, { deadline }),
    Status.DEADLINE_EXCEEDED,
  );
  const { runs } = await client.unary<{ runs: RunMessage[] }>("TrainingService/ListRuns");
  assertEquals(runs.map(({ state }) => state), ["RUN_STATE_RUNNING"]);
});

Deno.test("a deadline past what timers hold is none", async () => {
  await using server = await startTestServer();
  const session = http2.connect(`http://${server.address}`);
  const path = "/grpc.health.v1.Health/Watch";
  for (
    const [type, header] of [["application/grpc", "grpc-timeout"], ["application/connect+proto", "connect-timeout-ms"]]
  ) {
    const timeout = header === "grpc-timeout" ? "99999999H" : "9999999999";
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": type, [header]: timeout });
    let bytes = 0;
    stream.on("data", (chunk: Uint8Array) => bytes += chunk.length);
    stream.on("error", () => {});
    stream.end(new Uint8Array(5));
    await until(() => bytes > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals([bytes, stream.closed], [7, false]);
    stream.close();
  }
  session.close();
});

Deno.test("a deadline ends a call, and the engine is told", async () => {
  await using server = await startTestServer({ fake: { inferenceTime: 60_000 } });
  using client = new GrpcClient(server.address);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  let aborted = false;
  const infer = server.engine.infer.bind(server.engine);
  server.engine.infer = (job, signal) => {
    signal.addEventListener("abort", () => aborted = true);
    return infer(job, signal);
  };
  const image = { raw: { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16) } };
  const request = { source: { run: event.run }, images: [image] };
  const call = client.unary("InferenceService/Infer", request, { deadline: Date.now() + 500 });
  await assertStatus(call, Status.DEADLINE_EXCEEDED);
  await until(() => aborted);
});

Deno.test("a Train that is cancelled while its network is planned makes no run, and holds up no other", async () => {
  await using server = await startTestServer({ fake: { checkTime: 60_000 } });
  using client = new GrpcClient(server.address);
  const call = client.stream("TrainingService/Train", { config: quickConfig() });
  call.on("error", () => {});
  let checks = 0;
  const check = server.engine.check.bind(server.engine);
  server.engine.check = (config, signal) => {
    checks++;
    return check(config, signal);
  };
  await until(() => checks === 1);
  call.cancel();
  server.engine.options.checkTime = 0;
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  const { runs } = await client.unary<{ runs: RunMessage[] }>("TrainingService/ListRuns");
  assertEquals(runs.map(({ name }) => name), [event.run]);
});

Deno.test("a call that is cancelled stops its evaluation", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  let aborted = false;
  server.engine.evaluate = async function* (_job, signal) {
    signal.addEventListener("abort", () => aborted = true);
    yield { kind: "progress", imagesDone: 1, imagesTotal: 2 };
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    throw signal.reason;
  };
  const call = client.stream("InferenceService/Evaluate", { source: { run: event.run } });
  call.on("error", () => {});
  await new Promise((resolve) => call.once("data", resolve));
  call.cancel();
  await until(() => aborted);
});

Deno.test("a client that goes away leaves its run alone", async () => {
  await using server = await startTestServer();
  const first = new GrpcClient(server.address);
  const { name, call } = await startLongRun(first);
  call.cancel();
  first[Symbol.dispose]();
  using second = new GrpcClient(server.address);
  const { progress } = await getRun(second, name);
  await until(async () => ((await getRun(second, name)).progress?.step ?? 0) > (progress?.step ?? 0) + 50);
  assertEquals((await getRun(second, name)).state, "RUN_STATE_RUNNING");
});

Deno.test("a client that comes back goes on where it was", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const call = client.stream("TrainingService/Train", { config: quickConfig({ epochs: 100 }) });
  call.on("error", () => {});
  const seen: EventMessage["event"][] = [];
  await new Promise<void>((resolve) =>
    call.on("data", ({ event }: EventMessage) => {
      if (seen.length === 5) return;
      seen.push(event);
      if (seen.length < 5) return;
      call.cancel();
      resolve();
    })
  );
  const { run: name, sequence: after_sequence } = seen[4];
  const rest = await client.collect<EventMessage>("TrainingService/WatchRun", { name, after_sequence });
  const sequences = [...seen, ...rest.map(({ event }) => event)].map(({ sequence }) => sequence);
  assertEquals(sequences, sequences.map((_, index) => index + 1));
  const all = await client.collect<EventMessage>("TrainingService/WatchRun", { name });
  const images = all.reduce((sum, { event }) => sum + (event.progress?.metrics.images ?? 0), 0);
  assertEquals(images, 400 * 64);
});

Deno.test("metrics are written at a bounded rate", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const begin = Date.now();
  const events = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig({ epochs: 150 }) });
  const seconds = (Date.now() - begin) / 1000;
  const written = events.filter(({ event }) => event.kind === "progress").length;
  assert(written <= 4 * seconds + 2, `${written} in ${seconds} s`);
});

Deno.test("close() ends the streams with a reason, and refuses later calls", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const events: EventMessage["event"][] = [];
  const call = client.stream("TrainingService/Train", { config: longConfig() });
  const health = client.stream("grpc.health.v1.Health/Watch");
  const states: string[] = [];
  const healthEnded = new Promise<{ code: number; details: string }>((resolve) =>
    health.on("data", (answer: { status: string }) => states.push(answer.status)).on("error", resolve)
  );
  const ended = new Promise<{ code: number; details: string }>((resolve) =>
    call.on("data", ({ event }: EventMessage) => events.push(event)).on("error", resolve)
  );
  await until(() => events.some(({ kind }) => kind === "progress") && states.length === 1);
  await server.stop();
  for (const { code, details } of [await ended, await healthEnded]) {
    assertEquals(Status[code], "UNAVAILABLE");
    assertStringIncludes(details, "The server is shutting down");
  }
  assertEquals(states, ["SERVING", "NOT_SERVING"]);
  assert(server.engine.closed);
  await assertStatus(client.unary("CatalogService/GetServerInfo"), Status.UNAVAILABLE);
});

Deno.test("a server that is started again on the same data folder lists the runs, and goes on with them", async () => {
  const dataDir = Deno.makeTempDirSync();
  const first = await startTestServer({ dataDir });
  const client = new GrpcClient(first.address);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  const { name } = await startLongRun(client);
  await first.stop();
  client[Symbol.dispose]();

  const second = await startTestServer({ dataDir });
  {
    using again = new GrpcClient(second.address);
    const { runs } = await again.unary<{ runs: RunMessage[] }>("TrainingService/ListRuns");
    assertEquals(runs.map((run) => [run.name, run.state]), [
      [name, "RUN_STATE_RUNNING"],
      [event.run, "RUN_STATE_SUCCEEDED"],
    ]);
    const events = await again.collect<EventMessage>("TrainingService/WatchRun", { name: event.run });
    assertEquals(events.at(-1)?.event.state_changed?.state, "RUN_STATE_SUCCEEDED");
    const image = { raw: { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16) } };
    await again.unary("InferenceService/Infer", { source: { run: event.run }, images: [image] });
  }
  await second.stop();
  Deno.removeSync(dataDir, { recursive: true });
});
