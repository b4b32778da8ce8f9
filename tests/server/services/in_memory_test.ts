import { join } from "node:path";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  CatalogService,
  DatasetKind,
  ExportFormat,
  health,
  type Heartbeat,
  InferenceService,
  type RunEvent,
  RunState,
  Scheme,
  TrainingService,
} from "../../../src/gen/mod.ts";
import { createInterceptor } from "../../../src/server/interceptor.ts";
import { Log } from "../../../src/server/log.ts";
import { RunStore } from "../../../src/server/runs/store.ts";
import { defaultLimits } from "../../../src/server/inference/batcher.ts";
import type { RunLimits } from "../../../src/server/runs/training_runs.ts";
import { createServices } from "../../../src/server/services/mod.ts";
import { FakeCatalog } from "../../support/fake_catalog.ts";
import { brokenSeeds, FakeEngine, type FakeEngineOptions } from "../../support/fake_engine.ts";

/** The services over the in-memory transport: no network, the same handlers and interceptor. */
function setUp(limits: RunLimits = {}, fake: FakeEngineOptions = {}) {
  const dataDir = Deno.realPathSync(Deno.makeTempDirSync());
  const store = RunStore.open(join(dataDir, "runs.sqlite"));
  const engine = new FakeEngine(dataDir, fake);
  const catalog = new FakeCatalog();
  const logs: string[] = [];
  const log = new Log((line) => logs.push(line));
  const services = createServices({
    store,
    engine,
    catalog,
    log,
    dataDir,
    importFolders: [],
    limits,
    inferenceLimits: defaultLimits,
  });
  services.runs.begin();
  const transport = createRouterTransport(services.routes, { router: { interceptors: [createInterceptor(log)] } });
  return {
    engine,
    catalog,
    dataDir,
    logs,
    services,
    training: createClient(TrainingService, transport),
    inference: createClient(InferenceService, transport),
    catalogClient: createClient(CatalogService, transport),
    health: createClient(health.Health, transport),
    async [Symbol.asyncDispose]() {
      await services.runs.close();
      store.close();
      Deno.removeSync(dataDir, { recursive: true });
    },
  };
}

const config = { model: { name: "lm-resnet-20" }, dataset: "digits" };

async function refused(call: Promise<unknown>, code: Code, text: string): Promise<void> {
  const error = await assertRejects(() => call, ConnectError, text);
  assertEquals(Code[error.code], Code[code]);
}

Deno.test("Train fills in the data set's augmentation and gives the configuration back", async () => {
  await using fixture = setUp();
  const events = await Array.fromAsync(fixture.training.train({ config: { ...config, seed: 5n } }));
  const name = events[0].event?.run ?? "";
  const { run } = await fixture.training.getRun({ name });
  assertEquals(run?.state, RunState.SUCCEEDED);
  assertEquals(run?.config?.augmentation?.cropPadding, 2);
  assertEquals([run?.config?.seed, run?.config?.optimizer?.momentum, run?.config?.epochs], [5n, 0.9, 1]);
  assertEquals(events.at(-1)?.event?.sequence, run?.lastSequence);
});

Deno.test("Train names an unknown data set and lists those there are", async () => {
  await using fixture = setUp();
  const call = Array.fromAsync(fixture.training.train({ config: { ...config, dataset: "cats" } }));
  await refused(call, Code.NotFound, 'Cannot find data set "cats": there are digits');
});

Deno.test("Train passes on what the engine refuses", async () => {
  await using fixture = setUp();
  const train = (changes: object) => Array.fromAsync(fixture.training.train({ config: { ...config, ...changes } }));
  await refused(train({ model: { name: "lm-resnet-21" } }), Code.InvalidArgument, "there are lm-resnet-20");
  await refused(train({ batchSize: 2000 }), Code.ResourceExhausted, "does not fit");
  assertEquals((await fixture.training.listRuns({})).runs.length, 0);
});

Deno.test("ListRuns gives each run once, newest first, over its pages", async () => {
  await using fixture = setUp();
  const names: string[] = [];
  for (let i = 0; i < 5; i++) {
    const [first] = await Array.fromAsync(fixture.training.train({ config }));
    names.unshift(first.event?.run ?? "");
  }
  const listed: string[] = [];
  let pageToken = "";
  do {
    const page = await fixture.training.listRuns({ pageSize: 2, pageToken });
    assert(page.runs.length <= 2);
    listed.push(...page.runs.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assertEquals(listed, names);
});

/** Reads events until one tells of the state. */
async function untilState(events: AsyncIterable<{ event?: RunEvent }>, state: RunState): Promise<RunEvent> {
  for await (const { event } of events) {
    if (event?.kind.case === "stateChanged" && event.kind.value.state === state) return event;
  }
  throw new Error(`The run did not come to ${RunState[state]}`);
}

Deno.test("PauseRun, ResumeRun, RestartRun and DeleteRun steer a run", async () => {
  await using fixture = setUp();
  const { training } = fixture;
  const events = training.train({ config: { ...config, epochs: 50, checkpointEverySteps: 7 } });
  const { run: name } = await untilState(events, RunState.RUNNING);
  assertEquals((await training.pauseRun({ name })).run?.state, RunState.PAUSING);
  await untilState(training.watchRun({ name }), RunState.PAUSED);
  assertEquals((await training.listRuns({ states: [RunState.PAUSED] })).runs.map((run) => run.name), [name]);
  assertEquals((await training.listRuns({ states: [RunState.FAILED, RunState.QUEUED] })).runs, []);
  const { run: restarted } = await training.restartRun({ name, requestId: "again" });
  assertEquals((await training.restartRun({ name, requestId: "again" })).run?.name, restarted?.name);
  assert(restarted && restarted.name !== name);
  await refused(
    training.deleteRun({ name: restarted.name }),
    Code.FailedPrecondition,
    "cancel or pause it, and delete",
  );
  assertEquals((await training.resumeRun({ name })).run?.state, RunState.QUEUED);
  const log = await Array.fromAsync(training.watchRun({ name }));
  const resumed = log.find(({ event }) => event?.kind.case === "resumed")?.event?.kind.value;
  assertEquals(resumed?.$typeName === "multistep.v1.Resumed" && resumed.from?.step !== 0, true);
  assertEquals([log.at(-1)?.event?.attempt, (await training.getRun({ name })).run?.attempt], [2, 2]);
  await training.deleteRun({ name });
  await refused(training.getRun({ name }), Code.NotFound, name);
  for (const call of [training.pauseRun, training.resumeRun, training.deleteRun, training.restartRun]) {
    await refused(call({ name: "x" }), Code.InvalidArgument, 'Field "name" must be a run\'s name');
  }
});

Deno.test("ListRunEvents gives a run's events by pages, and its curve down-sampled", async () => {
  await using fixture = setUp({ metricsInterval: 0 });
  const { training } = fixture;
  const told = await Array.fromAsync(training.train({ config: { ...config, epochs: 10 } }));
  const name = told[0].event?.run ?? "";
  const events: RunEvent[] = [];
  let pageToken = "";
  do {
    const page = await training.listRunEvents({ name, pageSize: 7, pageToken });
    assertEquals(page.lastSequence, told.length);
    events.push(...page.events);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assertEquals(events, told.map(({ event }) => event));
  const curve = await training.listRunEvents({ name, progressWindows: 4 });
  const windows = curve.events.flatMap(({ kind, step }) =>
    kind.case === "progress" ? [[kind.value.firstStep, step, kind.value.metrics?.images]] : []
  );
  assertEquals(windows, [[1, 10, 640], [11, 20, 640], [21, 30, 640], [31, 40, 640]]);
  await refused(training.listRunEvents({ name, afterSequence: 1000 }), Code.OutOfRange, `at most ${told.length}`);
});

Deno.test("ExportModel reads a network by offset and limit", async () => {
  await using fixture = setUp();
  const { training } = fixture;
  const [{ event }] = await Array.fromAsync(training.train({ config }));
  const name = event?.run ?? "";
  const whole = await training.exportModel({ name, optimizerState: true });
  assertEquals([Number(whole.totalBytes), whole.checkpoint?.best], [whole.data.length, true]);
  const piece = await training.exportModel({ name, optimizerState: true, offset: 3n, limit: 5 });
  assertEquals(piece.data, whole.data.slice(3, 8));
  const { path = "" } = whole.checkpoint ?? {};
  const named = await training.exportModel({ name, which: { case: "path", value: path }, optimizerState: true });
  assertEquals(named.sha256, whole.sha256);
  await refused(training.exportModel({ name, offset: 1n << 40n }), Code.OutOfRange, 'Field "offset" must be at most');
  await refused(training.exportModel({ name: "runs/none" }), Code.NotFound, '"runs/none"');
});

Deno.test("AnalyzeModel gives what the newest checkpoint of a run learned, or one checkpoint", async () => {
  await using fixture = setUp();
  const [{ event }] = await Array.fromAsync(fixture.training.train({ config }));
  const name = event?.run ?? "";
  const analyze = (source: { case: "run" | "checkpoint"; value: string }) =>
    fixture.inference.analyzeModel({ source: { source } });
  const ofRun = await analyze({ case: "run", value: name });
  const { run } = await fixture.training.getRun({ name });
  assertEquals(ofRun.checkpoint, run?.checkpoints.at(-1)?.path);
  assertEquals([ofRun.model?.name, ofRun.trainingStep, ofRun.movingAverage], ["lm-resnet-20", 4, false]);
  assertEquals([ofRun.scheme?.scheme, ofRun.scheme?.order], [Scheme.LINEAR_MULTISTEP, 1]);
  const [first, second] = ofRun.blocks;
  assertEquals([first.name, first.stage, first.step, first.k], ["stage1.block0", 1, 1, undefined]);
  const { $typeName: _, ...k } = second.k ?? {};
  assertEquals(k, {
    mean: 0.25,
    minimum: 0.25,
    maximum: 0.25,
    channels: 1,
    effectiveStep: 0.8,
    acceleration: 0.375,
    stableChannels: 1,
    zeroStable: true,
  });
  assertEquals(await analyze({ case: "checkpoint", value: ofRun.checkpoint }), ofRun);
  await refused(fixture.inference.analyzeModel({}), Code.InvalidArgument, "source");
  await refused(analyze({ case: "checkpoint", value: "../elsewhere" }), Code.InvalidArgument, "source.checkpoint");
});

Deno.test("ListSchemes gives the schemes with their roots", async () => {
  await using fixture = setUp();
  const { schemes: [midpoint] } = await fixture.catalogClient.listSchemes({});
  assertEquals([midpoint.scheme, midpoint.order, midpoint.zeroStable], [Scheme.MIDPOINT, 2, true]);
  assertEquals(midpoint.roots.map(({ real, imaginary }) => [real, imaginary]), [[1, 0], [-1, 0]]);
});

Deno.test("WatchRun and Train send heartbeats when nothing happens", async () => {
  await using fixture = setUp({ heartbeatInterval: 10 }, { stepTime: 60_000 });
  const { training } = fixture;
  const beats = async (stream: AsyncIterable<{ event?: RunEvent; heartbeat?: Heartbeat }>) => {
    let last: RunEvent | undefined;
    for await (const { event, heartbeat } of stream) {
      if (heartbeat) return { last, heartbeat };
      last = event;
    }
  };
  const first = await beats(training.train({ config }));
  assertEquals(first?.heartbeat.lastSequence, first?.last?.sequence);
  const name = first?.last?.run ?? "";
  const second = await beats(training.watchRun({ name, afterSequence: first?.last?.sequence }));
  assertEquals([second?.heartbeat.lastSequence, second?.last], [first?.last?.sequence, undefined]);
  await training.cancelRun({ name });
});

Deno.test("Infer answers in the order of the images, whatever their form and size", async () => {
  await using fixture = setUp();
  const [{ event }] = await Array.fromAsync(fixture.training.train({ config }));
  const source = { source: { case: "run", value: event?.run ?? "" } } as const;
  const raw = (fill: number, side: number) => {
    const pixels = new Uint8Array(side * side).fill(fill);
    return { content: { case: "raw", value: { height: side, width: side, channels: 1, pixels } } } as const;
  };
  const { predictions } = await fixture.inference.infer({ source, images: [raw(2, 4), raw(1, 9), raw(3, 4)], topK: 2 });
  assertEquals(predictions.map(({ top }) => top.map(({ className }) => className)), [
    ["two", "zero"],
    ["one", "zero"],
    ["three", "zero"],
  ]);
  assertEquals(fixture.engine.inferences.length, 1);
});

Deno.test("Infer and Evaluate refuse a run that has no checkpoint, and paths that lead out", async () => {
  await using fixture = setUp();
  const failing = { ...config, seed: BigInt(brokenSeeds.engineError) };
  const [{ event }] = await Array.fromAsync(fixture.training.train({ config: failing }));
  const run = { source: { case: "run", value: event?.run ?? "" } } as const;
  const images = [{ content: { case: "encoded", value: new Uint8Array([1]) } } as const];
  const evaluate = (source: object) => Array.fromAsync(fixture.inference.evaluate({ source }));
  await refused(
    fixture.inference.infer({ source: run, images }),
    Code.FailedPrecondition,
    "is FAILED and has no checkpoint",
  );
  await refused(evaluate(run), Code.FailedPrecondition, "has no checkpoint");
  const path = (value: string) => ({ source: { case: "checkpoint", value } }) as const;
  await refused(evaluate(path("../secret")), Code.InvalidArgument, "a relative path inside the server's data folder");
  await refused(evaluate(path("runs/nothing")), Code.NotFound, '"runs/nothing"');
  await refused(evaluate({ source: { case: "run", value: "runs/zzz" } }), Code.NotFound, '"runs/zzz"');
});

Deno.test("Infer says what is wrong with an image", async () => {
  await using fixture = setUp();
  const [{ event }] = await Array.fromAsync(fixture.training.train({ config }));
  const source = { source: { case: "run", value: event?.run ?? "" } } as const;
  const infer = (bytes: Uint8Array) =>
    fixture.inference.infer({ source, images: [{ content: { case: "encoded", value: bytes } }] });
  await refused(
    infer(new TextEncoder().encode("GIF89a...")),
    Code.InvalidArgument,
    "only PNG, JPEG and WebP are accepted",
  );
});

Deno.test("ImportDataset tells its progress, then the data set", async () => {
  await using fixture = setUp();
  Deno.mkdirSync(join(fixture.dataDir, "incoming"));
  const call = fixture.catalogClient.importDataset({
    name: "cats",
    path: "incoming",
    image: { height: 8, width: 8, channels: 3 },
    streamed: true,
  });
  const kinds = (await Array.fromAsync(call)).map(({ kind }) => kind);
  assertEquals([kinds[0].case, kinds.at(-1)?.case], ["progress", "dataset"]);
  const report = kinds.at(-2);
  assert(report?.case === "report");
  assertEquals([report.value.packedBytes, report.value.skippedFiles], [100n, 1]);
  assertEquals(report.value.skipped.map(({ path, reason }) => [path, reason]), [["train/0/a.txt", "not an image"]]);
  assertEquals([report.value.classes[0].trainImages, report.value.classes[0].testImages], [6, 2]);
  const [{ source, options }] = fixture.catalog.imports;
  assertEquals([source, options.image, options.streamed], [
    join(fixture.dataDir, "incoming"),
    { height: 8, width: 8, channels: 3 },
    true,
  ]);
  const last = kinds.at(-1);
  assertEquals(last?.case === "dataset" && last.value.kind, DatasetKind.PACKED);
});

Deno.test("ImportDataset reads nothing outside the folders it may", async () => {
  await using fixture = setUp();
  const call = (name: string, path: string) => Array.fromAsync(fixture.catalogClient.importDataset({ name, path }));
  await refused(call("cats", "/etc"), Code.PermissionDenied, "must lie in the server's data folder");
  await refused(call("cats", "nothing"), Code.NotFound, '"nothing"');
  await refused(call("digits", "runs.sqlite"), Code.AlreadyExists, "there is a data set of that name");
  assertEquals(fixture.catalog.imports.length, 1);
});

Deno.test("ImportModel makes a checkpoint that Infer, Evaluate, ExportModel and Train take", async () => {
  await using fixture = setUp();
  const { catalogClient, training, inference, dataDir, engine } = fixture;
  Deno.writeTextFileSync(join(dataDir, "weights"), "");
  const model = { name: "lm-resnet-20" };
  const imported = await catalogClient.importModel({ name: "mine", path: "weights", model, dataset: "digits" });
  const path = imported.checkpoint?.path ?? "";
  assertEquals([path, imported.checkpoint?.step], ["models/mine.safetensors", 0]);
  assertEquals([imported.model?.name, imported.model?.input?.height, imported.model?.classes], ["lm-resnet-20", 4, 4]);
  const { network } = JSON.parse(Deno.readTextFileSync(join(dataDir, path)));
  assertEquals(network, { model, trainedOn: { dataset: "digits" } });

  const source = { source: { case: "checkpoint", value: path } } as const;
  const raw = { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16).fill(2) };
  const { predictions } = await inference.infer({ source, images: [{ content: { case: "raw", value: raw } }] });
  assertEquals(predictions[0].top[0].className, "two");
  await Array.fromAsync(inference.evaluate({ source }));
  assertEquals([engine.inferences[0].checkpoint, engine.evaluations[0].checkpoint], [path, path]);

  const which = { case: "path", value: path } as const;
  const exported = await training.exportModel({ which, format: ExportFormat.PYTORCH });
  assertEquals(new TextDecoder().decode(exported.data).slice(0, 8), "pytorch ");
  assertEquals(exported.checkpoint?.path, path);
  const [{ event }] = await Array.fromAsync(training.train({ config: { ...config, initialCheckpoint: path } }));
  const { run } = await training.getRun({ name: event?.run });
  assertEquals(run?.config?.initialCheckpoint, path);
});

Deno.test("ImportModel and those that take its checkpoint refuse what is none", async () => {
  await using fixture = setUp();
  const { catalogClient, training, dataDir } = fixture;
  Deno.writeTextFileSync(join(dataDir, "weights"), "");
  const model = { name: "lm-resnet-20" };
  const order = { name: "mine", path: "weights", model };
  await catalogClient.importModel(order);
  await refused(catalogClient.importModel(order), Code.AlreadyExists, '"mine"');
  await refused(
    catalogClient.importModel({ ...order, path: "/etc/passwd" }),
    Code.PermissionDenied,
    "--import-folders",
  );
  await refused(catalogClient.importModel({ ...order, path: "none" }), Code.NotFound, '"none"');
  const exported = (path: string) => training.exportModel({ which: { case: "path", value: path } });
  await refused(exported("weights"), Code.InvalidArgument, "an imported model's checkpoint");
  await refused(exported("models/none"), Code.NotFound, '"models/none"');
  await refused(exported("../weights"), Code.InvalidArgument, "inside the server's data folder");
  const train = (initialCheckpoint: string) =>
    Array.fromAsync(training.train({ config: { ...config, initialCheckpoint } }));
  await refused(train("models/none"), Code.NotFound, '"models/none"');
  await refused(train("/etc/passwd"), Code.InvalidArgument, 'Field "config.initial_checkpoint"');
});

Deno.test("GetDatasetSample tells classes and bytes, and refuses what would not fit an answer", async () => {
  await using fixture = setUp();
  const { dataset, classes, bytes } = await fixture.catalogClient.getDatasetSample({ name: "digits" });
  assertEquals([dataset?.name, bytes, classes.map(({ trainImages }) => trainImages)], [
    "digits",
    25_700n,
    [20, 20, 20, 20],
  ]);
  const call = (request: object) => fixture.catalogClient.getDatasetSample({ name: "digits", ...request });
  await refused(call({ name: "cats" }), Code.NotFound, 'Cannot find data set "cats": there are digits');
  await refused(call({ split: "validation" }), Code.InvalidArgument, 'Field "split" must be "train" or "test"');
  await refused(
    call({ imagesPerClass: 33 }),
    Code.InvalidArgument,
    '"images_per_class" must be an integer from 0 to 32',
  );
  await refused(
    call({ maxSide: 256, imagesPerClass: 32, maxClasses: 10 }),
    Code.InvalidArgument,
    'Field "max_side" must be at most 114 with 32 images of 10 classes, got 256',
  );
});

Deno.test("DescribeModel names an unknown model", async () => {
  await using fixture = setUp();
  const call = fixture.catalogClient.describeModel({ model: { name: "lm-resnet-21" } });
  await refused(call, Code.InvalidArgument, 'Cannot find model "lm-resnet-21": there is lm-resnet-20');
});

Deno.test("DescribeModel tells the memory of training where a batch size is given", async () => {
  await using fixture = setUp();
  const model = { name: "lm-resnet-20" };
  const plain = await fixture.catalogClient.describeModel({ model });
  assertEquals(plain.trainingMemory, undefined);
  assertEquals([plain.model?.input?.height, plain.model?.input?.channels, plain.model?.classes], [32, 3, 10]);
  const sized = await fixture.catalogClient.describeModel({ model, batchSize: 10, dataset: "digits" });
  assertEquals([sized.trainingMemory?.totalBytes, sized.trainingMemory?.activationBytes], [43n, 40n]);
  assertEquals([sized.model?.input?.height, sized.model?.classes], [4, 4]);
  const averaged = await fixture.catalogClient.describeModel({ model, batchSize: 10, emaDecay: 0.999 });
  assertEquals(averaged.trainingMemory?.parameterBytes, 2n);
  const never = fixture.catalogClient.describeModel({ model, batchSize: 10, emaDecay: 1 });
  await refused(
    never,
    Code.InvalidArgument,
    'Field "ema_decay" must be above 0 and at most 0.999999, or left out, got 1',
  );
  const both = fixture.catalogClient.describeModel({ model, classes: 3, dataset: "digits" });
  await refused(both, Code.InvalidArgument, 'Field "classes" must be left out beside a data set, got 3');
});

Deno.test("an unknown error is INTERNAL without its text, which is logged", async () => {
  await using fixture = setUp();
  fixture.catalog.listDatasets = () => Promise.reject(new TypeError("undefined is not /secret/path"));
  const error = await assertRejects(() => fixture.catalogClient.listDatasets({}), ConnectError);
  assertEquals([error.code, error.rawMessage], [Code.Internal, "An internal error; the server's log has it"]);
  const line = JSON.parse(fixture.logs.at(-1) ?? "");
  assertEquals([line.level, line.message], ["error", "call failed"]);
  assertStringIncludes(line.method, "ListDatasets");
  assertStringIncludes(line.error, "undefined is not /secret/path");
});

Deno.test("an error in the middle of a stream is mapped as one at its start", async () => {
  await using fixture = setUp();
  const [{ event }] = await Array.fromAsync(fixture.training.train({ config }));
  fixture.engine.evaluate = async function* () {
    yield { kind: "progress", imagesDone: 0, imagesTotal: 1 };
    await Promise.resolve();
    throw new TypeError("undefined is not /secret/path");
  };
  const kinds: unknown[] = [];
  const error = await assertRejects(async () => {
    const source = { source: { case: "run", value: event?.run ?? "" } } as const;
    for await (const { kind } of fixture.inference.evaluate({ source })) kinds.push(kind.case);
  }, ConnectError);
  assertEquals([kinds, error.rawMessage], [["progress"], "An internal error; the server's log has it"]);
});

Deno.test("a deadline ends a call whose handler does not listen", async () => {
  await using fixture = setUp();
  fixture.catalog.listDatasets = () => new Promise(() => {});
  await refused(fixture.catalogClient.listDatasets({}, { timeoutMs: 20 }), Code.DeadlineExceeded, "");
});

Deno.test("health tells of the server and of each service, and of their end", async () => {
  await using fixture = setUp();
  const status = async (service: string) => (await fixture.health.check({ service })).status;
  const Status = health.HealthCheckResponse_ServingStatus;
  assertEquals([await status(""), await status("multistep.v1.TrainingService")], [Status.SERVING, Status.SERVING]);
  await refused(status("nothing"), Code.NotFound, '"nothing"');
  const watch = fixture.health.watch({ service: "multistep.v1.InferenceService" })[Symbol.asyncIterator]();
  assertEquals((await watch.next()).value?.status, Status.SERVING);
  fixture.services.health.stopServing();
  assertEquals((await watch.next()).value?.status, Status.NOT_SERVING);
  await watch.return?.();
  assertEquals(await status(""), Status.NOT_SERVING);
});
