/** Every RPC over real HTTP/2, by grpc-js. */
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import {
  assertStatus,
  type EventMessage,
  GrpcClient,
  longConfig,
  quickConfig,
  type RunMessage,
  Status,
} from "../support/grpc_client.ts";
import { startTestServer, type TestServer } from "../support/test_server.ts";

function withServer(test: (client: GrpcClient, server: TestServer) => Promise<void>): () => Promise<void> {
  return async () => {
    await using server = await startTestServer();
    using client = new GrpcClient(server.address);
    await test(client, server);
  };
}

/** Trains to the end; gives the run's name. */
async function trainRun(client: GrpcClient): Promise<string> {
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  return event.run;
}

async function getRun(client: GrpcClient, name: string): Promise<RunMessage> {
  return (await client.unary<{ run: RunMessage }>("TrainingService/GetRun", { name })).run;
}

function rawImage(fill: number, side = 4) {
  return { raw: { height: side, width: side, channels: 1, pixels: new Uint8Array(side * side).fill(fill) } };
}

interface PredictionMessage {
  top: { class_index: number; class_name: string; probability: number }[];
}

interface StreamAnswer {
  id: string;
  outcome: "prediction" | "error";
  prediction?: PredictionMessage;
  error?: { code: number; message: string };
}

Deno.test(
  "grpc-js: Train streams a run from its first event to its end",
  withServer(async (client) => {
    const answers = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig({ epochs: 3 }) });
    const events = answers.map(({ event }) => event);
    assertEquals(events.map(({ sequence }) => sequence), events.map((_, index) => index + 1));
    const states = events.flatMap(({ state_changed }) => state_changed ? [state_changed.state] : []);
    assertEquals(states, ["RUN_STATE_QUEUED", "RUN_STATE_RUNNING", "RUN_STATE_SUCCEEDED"]);
    for (const kind of ["preparing", "progress", "evaluation", "checkpoint"]) {
      assert(events.some((event) => event.kind === kind), kind);
    }
    const run = await getRun(client, events[0].run);
    assertEquals([run.state, run.progress?.step, run.progress?.total_steps], ["RUN_STATE_SUCCEEDED", 12, 12]);
    assertEquals([run.evaluation?.top1, run.checkpoints[0].step, run.attempt], [0.97, 12, 1]);
    assert(run.start_time && run.end_time);
  }),
);

Deno.test(
  "grpc-js: Train is idempotent by request_id",
  withServer(async (client, server) => {
    const train = async (config: object) => {
      const request = { config, request_id: "mine" };
      return (await client.collect<EventMessage>("TrainingService/Train", request)).map(({ event }) => event);
    };
    const runs = await Promise.all([train(quickConfig()), train(quickConfig()), train(quickConfig())]);
    const again = await train(quickConfig());
    for (const events of runs) assertEquals(events, again);
    assertEquals(server.engine.trainings, 1);
    await assertStatus(train(quickConfig({ epochs: 2 })), Status.ALREADY_EXISTS, again[0].run);
  }),
);

Deno.test(
  "grpc-js: WatchRun replays after a sequence and refuses one that is not yet",
  withServer(async (client) => {
    const name = await trainRun(client);
    const { last_sequence } = await getRun(client, name);
    const watch = (after_sequence: number) =>
      client.collect<EventMessage>("TrainingService/WatchRun", { name, after_sequence });
    assertEquals((await watch(0)).length, last_sequence);
    assertEquals((await watch(last_sequence - 2)).map(({ event }) => event.sequence), [
      last_sequence - 1,
      last_sequence,
    ]);
    assertEquals(await watch(last_sequence), []);
    await assertStatus(watch(last_sequence + 1), Status.OUT_OF_RANGE, `at most ${last_sequence}`);
    await assertStatus(
      client.collect("TrainingService/WatchRun", { name: "runs/nope" }),
      Status.NOT_FOUND,
      '"runs/nope"',
    );
  }),
);

Deno.test(
  "grpc-js: CancelRun stops a run, and its watchers see it",
  withServer(async (client) => {
    const call = client.stream("TrainingService/Train", { config: longConfig() });
    const states: string[] = [];
    let name = "";
    for await (const answer of call) {
      const { event } = answer as EventMessage;
      if (event.state_changed) states.push(event.state_changed.state);
      if (event.kind === "progress" && name === "") {
        name = event.run;
        const { run } = await client.unary<{ run: RunMessage }>("TrainingService/CancelRun", { name });
        assertEquals(run.state, "RUN_STATE_CANCELLING");
      }
    }
    assertEquals(states.slice(-2), ["RUN_STATE_CANCELLING", "RUN_STATE_CANCELLED"]);
    await assertStatus(client.unary("TrainingService/CancelRun", { name }), Status.FAILED_PRECONDITION, "CANCELLED");
    await assertStatus(client.unary("TrainingService/CancelRun", { name: "runs/x" }), Status.NOT_FOUND);
  }),
);

Deno.test(
  "grpc-js: ListRuns pages",
  withServer(async (client) => {
    for (let i = 0; i < 3; i++) await trainRun(client);
    interface Page {
      runs: RunMessage[];
      next_page_token: string;
    }
    const list = (request: object) => client.unary<Page>("TrainingService/ListRuns", request);
    const first = await list({ page_size: 2 });
    const second = await list({ page_size: 2, page_token: first.next_page_token });
    assertEquals([first.runs.length, second.runs.length, second.next_page_token], [2, 1, ""]);
    await assertStatus(list({ page_token: "guess" }), Status.INVALID_ARGUMENT, 'got "guess"');
    await assertStatus(list({ page_size: 1001 }), Status.INVALID_ARGUMENT, "page_size");
  }),
);

Deno.test(
  "grpc-js: Evaluate streams progress and the result, by run and by checkpoint",
  withServer(async (client, { engine }) => {
    const run = await trainRun(client);
    const [{ path }] = (await getRun(client, run)).checkpoints;
    for (const source of [{ run }, { checkpoint: path }]) {
      const answers = await client.collect<{
        kind: string;
        result?: { metrics: { top1: number }; confusion: { class_names: string[]; counts: number[] } };
      }>("InferenceService/Evaluate", { source, limit: 20 });
      assertEquals([answers[0].kind, answers.at(-1)?.kind], ["progress", "result"]);
      const result = answers.at(-1)?.result;
      assertEquals([result?.metrics.top1, result?.confusion.counts.length, result?.confusion.counts[5]], [0.75, 16, 5]);
    }
    const jobs = engine.evaluations.map(({ checkpoint, split, batchSize, limit }) => ({
      checkpoint,
      split,
      batchSize,
      limit,
    }));
    const job = { checkpoint: path, split: "test" as const, batchSize: 64, limit: 20 };
    assertEquals(jobs, [job, job]);
  }),
);

Deno.test(
  "grpc-js: Infer classifies raw images",
  withServer(async (client) => {
    const run = await trainRun(client);
    const request = { source: { run }, images: [rawImage(3), rawImage(1, 8)], top_k: 1 };
    const { predictions } = await client.unary<{ predictions: PredictionMessage[] }>("InferenceService/Infer", request);
    assertEquals(predictions.map(({ top }) => top.map((entry) => [entry.class_index, entry.class_name])), [
      [[3, "three"]],
      [[1, "one"]],
    ]);
    assert(Math.abs(predictions[0].top[0].probability - 0.7) < 1e-6);
  }),
);

Deno.test(
  "grpc-js: StreamInfer answers every image by its id, with the errors of single ones",
  withServer(async (client) => {
    const run = await trainRun(client);
    const requests = Array.from({ length: 200 }, (_, index) => ({
      id: `image ${index}`,
      ...(index === 0 ? { source: { run } } : {}),
      image: index === 77 ? { encoded: new TextEncoder().encode("no image") } : rawImage(index % 4),
      top_k: 1,
    }));
    const answers = await client.exchange<StreamAnswer>("InferenceService/StreamInfer", requests);
    assertEquals(answers.length, 200);
    const byId = new Map(answers.map((answer) => [answer.id, answer]));
    for (const [index, { id }] of requests.entries()) {
      const answer = byId.get(id);
      if (index !== 77) assertEquals(answer?.prediction?.top[0].class_index, index % 4);
      else assertEquals([answer?.outcome, answer?.error?.code], ["error", Status.INVALID_ARGUMENT]);
    }
  }),
);

Deno.test(
  "grpc-js: StreamInfer tells of weights that are missing or unknown, and goes on",
  withServer(async (client) => {
    const run = await trainRun(client);
    const answers = await client.exchange<StreamAnswer>("InferenceService/StreamInfer", [
      { id: "none", image: rawImage(0) },
      { id: "unknown", source: { run: "runs/unknown" }, image: rawImage(0) },
      { id: "still unknown", image: rawImage(0) },
      { id: "good", source: { run }, image: rawImage(2) },
    ]);
    const codes = answers.map(({ id, error }) => `${id}: ${Status[error?.code ?? Status.OK]}`).sort();
    assertEquals(codes, [
      "good: OK",
      "none: INVALID_ARGUMENT",
      "still unknown: NOT_FOUND",
      "unknown: NOT_FOUND",
    ]);
  }),
);

Deno.test(
  "grpc-js: the catalog's calls",
  withServer(async (client, { dataDir }) => {
    const { families } = await client.unary<{ families: { pattern: string }[] }>("CatalogService/ListModels");
    assertEquals(families[0].pattern, "lm-resnet-N");
    const described = { model: { name: "lm-resnet-20" }, input: { height: 4, width: 4, channels: 1 }, classes: 4 };
    const { model } = await client.unary<{ model: { parameters: number; layers: { output_shape: number[] }[] } }>(
      "CatalogService/DescribeModel",
      described,
    );
    assertEquals([model.parameters, model.layers[0].output_shape], [432, [4, 4, 16]]);
    const { datasets } = await client.unary<{ datasets: { name: string; train_images: number }[] }>(
      "CatalogService/ListDatasets",
    );
    assertEquals(datasets.map(({ name, train_images }) => [name, train_images]), [["digits", 80]]);
    Deno.mkdirSync(join(dataDir, "incoming"));
    const imported = await client.collect<{ kind: string }>("CatalogService/ImportDataset", {
      name: "cats",
      path: join(Deno.realPathSync(dataDir), "incoming"),
    });
    assertEquals(imported.at(-1)?.kind, "dataset");
    const denied = client.collect("CatalogService/ImportDataset", { name: "cats", path: "/etc" });
    await assertStatus(denied, Status.PERMISSION_DENIED, "the server's data folder");
  }),
);

Deno.test(
  "grpc-js: GetServerInfo tells the adapter, the versions and what runs",
  withServer(async (client) => {
    interface Info {
      version: string;
      deno_version: string;
      adapter: { description: string; limits: Record<string, number> };
      queued_runs: number;
      active_run: string;
    }
    const idle = await client.unary<Info>("CatalogService/GetServerInfo");
    assertEquals([idle.deno_version, idle.active_run, idle.queued_runs], [Deno.version.deno, "", 0]);
    assertEquals([idle.adapter.description, idle.adapter.limits.maxBufferSize], ["A fake adapter", 2 ** 33]);
    const calls = [1, 2].map(() => client.stream("TrainingService/Train", { config: longConfig() }));
    await Promise.all(calls.map((call) => call[Symbol.asyncIterator]().next()));
    const busy = await client.unary<Info>("CatalogService/GetServerInfo");
    assertEquals([busy.queued_runs, /^runs\/[a-z0-9]{10}$/.test(busy.active_run)], [1, true]);
  }),
);

Deno.test(
  "grpc-js: a wrong field is INVALID_ARGUMENT with its name, value and what is allowed, and the server goes on",
  withServer(async (client) => {
    const train = (changes: object) => client.collect("TrainingService/Train", { config: quickConfig(changes) });
    await assertStatus(
      train({ batch_size: 0 }),
      Status.INVALID_ARGUMENT,
      'Field "config.batch_size" must be an integer',
    );
    await assertStatus(train({ precision: 9 }), Status.INVALID_ARGUMENT, "got 9");
    await assertStatus(train({ dataset: "cats" }), Status.NOT_FOUND, "there are digits");
    await assertStatus(train({ model: { name: "lm-resnet-21" } }), Status.INVALID_ARGUMENT, "there are lm-resnet-20");
    await assertStatus(
      client.collect("TrainingService/Train", {}),
      Status.INVALID_ARGUMENT,
      'Field "config" must be set',
    );
    const run = await trainRun(client);
    const wide = { raw: { height: 1, width: 20_000, channels: 1, pixels: new Uint8Array(20_000) } };
    const infer = client.unary("InferenceService/Infer", { source: { run }, images: [wide] });
    await assertStatus(infer, Status.INVALID_ARGUMENT, "got 20000");
  }),
);
