/** A gRPC server whose runs follow a script, for tests of the client. */
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  CatalogService,
  DatasetKind,
  ImageShapeSchema,
  InferenceService,
  type Run,
  type RunEvent,
  RunEventSchema,
  RunSchema,
  RunState,
  Scheme,
  type TrainingConfig,
  TrainingService,
  type UploadHeader,
} from "../../src/gen/mod.ts";

export interface FakeServer {
  readonly address: string;
  readonly runs: Map<string, FakeRun>;
  /** The newest configuration that Train was called with. */
  lastConfig(): TrainingConfig;
  /** Calls by method name, in order. */
  readonly calls: string[];
  /** Breaks every connection, as a server that is killed does. */
  dropConnections(): void;
  close(): Promise<void>;
}

export interface FakeRun {
  readonly run: Run;
  readonly events: RunEvent[];
}

export interface Overrides {
  readonly training?: Partial<ServiceImpl<typeof TrainingService>>;
  readonly inference?: Partial<ServiceImpl<typeof InferenceService>>;
  readonly catalog?: Partial<ServiceImpl<typeof CatalogService>>;
  readonly port?: number;
}

const created = timestampFromDate(new Date("2026-01-02T03:04:05.678Z"));

/** A run with its log: queued, running, two reports, an evaluation, a checkpoint, and an end. */
export function scriptedRun(id: string, end: RunState = RunState.SUCCEEDED): FakeRun {
  const name = `runs/${id}`;
  const succeeded = end === RunState.SUCCEEDED;
  const statusMessage = succeeded ? "" : "The adapter was lost";
  const kinds: { step: number; epoch: number; kind: MessageInitShape<typeof RunEventSchema>["kind"] }[] = [
    { step: 0, epoch: 0, kind: { case: "stateChanged", value: { state: RunState.QUEUED } } },
    { step: 0, epoch: 0, kind: { case: "stateChanged", value: { state: RunState.RUNNING } } },
    { step: 0, epoch: 0, kind: { case: "preparing", value: { pipelinesReady: 3, pipelinesTotal: 12 } } },
    ...[5, 10].map((step) => ({
      step,
      epoch: 0,
      kind: {
        case: "progress" as const,
        value: {
          metrics: { loss: 2.302585, top1: 0.125, top5: 0.5, images: 320 },
          learningRate: 0.1,
          imagesPerSecond: 133.25,
          totalSteps: 10,
          secondsLeft: 75,
        },
      },
    })),
    {
      step: 10,
      epoch: 0,
      kind: { case: "evaluation", value: { metrics: { loss: 0.25, top1: 0.9715, top5: 1, images: 2000 } } },
    },
    {
      step: 10,
      epoch: 0,
      kind: {
        case: "checkpoint",
        value: { path: `${name}/checkpoints/step-00000010.safetensors`, step: 10, epoch: 0, bytes: 1_083_000n },
      },
    },
    { step: 10, epoch: 0, kind: { case: "stateChanged", value: { state: end, statusMessage } } },
  ];
  const events = kinds.map((event, index) =>
    create(RunEventSchema, { run: name, sequence: index + 1, time: created, attempt: 1, ...event })
  );
  const run = create(RunSchema, {
    name,
    state: end,
    statusMessage,
    config: { model: { name: "lm-resnet-20" }, dataset: "mnist", epochs: 1, batchSize: 64, seed: 7n },
    createTime: created,
    startTime: created,
    endTime: created,
    progress: { step: 10, totalSteps: 10, epoch: 0, totalEpochs: 1, imagesPerSecond: 133.25 },
    evaluation: { loss: 0.25, top1: 0.9715, top5: 1, images: 2000 },
    lastSequence: events.length,
    attempt: 1,
    checkpoints: [{
      path: `${name}/checkpoints/step-00000010.safetensors`,
      step: 10,
      epoch: 0,
      bytes: 1_083_000n,
    }],
  });
  return { run, events };
}

const mnist = {
  name: "mnist",
  description: "Handwritten digits",
  image: { height: 28, width: 28, channels: 1 },
  classNames: ["0", "1"],
  trainImages: 8000,
  testImages: 2000,
  mean: [0.1307],
  standardDeviation: [0.3081],
  cropPadding: 2,
};

/** A PNG of one red pixel. */
const onePixel = Uint8Array.fromBase64(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC",
);

export async function startFakeServer(overrides: Overrides = {}): Promise<FakeServer> {
  const runs = new Map<string, FakeRun>();
  const calls: string[] = [];
  let lastConfig: TrainingConfig | undefined;

  const find = (name: string): FakeRun => {
    const found = runs.get(name);
    if (found === undefined) throw new ConnectError(`Cannot find run "${name}"`, Code.NotFound);
    return found;
  };
  const training: Partial<ServiceImpl<typeof TrainingService>> = {
    async *train({ config }) {
      lastConfig = config;
      const fake = scriptedRun(`run-${runs.size + 1}`);
      runs.set(fake.run.name, fake);
      for (const event of fake.events) yield { event };
    },
    getRun: ({ name }) => ({ run: find(name).run }),
    listRuns({ pageSize, pageToken }) {
      const all = [...runs.values()].reverse();
      const start = Number(pageToken || "0");
      const end = start + Math.min(pageSize, 2);
      return {
        runs: all.slice(start, end).map(({ run }) => run),
        nextPageToken: end < all.length ? String(end) : "",
      };
    },
    cancelRun({ name }) {
      const { run } = find(name);
      run.state = RunState.CANCELLING;
      return { run };
    },
    async *watchRun({ name, afterSequence }) {
      for (const event of find(name).events.slice(afterSequence)) yield { event };
    },
  };
  const inference: ServiceImpl<typeof InferenceService> = {
    async *evaluate() {
      yield { kind: { case: "progress", value: { imagesDone: 1, imagesTotal: 3 } } };
      yield {
        kind: {
          case: "result",
          value: {
            metrics: { loss: 0.5, top1: 2 / 3, top5: 1, images: 3 },
            confusion: { classNames: ["cat", "dog"], counts: [1, 1, 0, 1] },
            imagesPerSecond: 400,
          },
        },
      };
    },
    infer({ images }) {
      const { content } = images[0];
      const bytes = content.case === "encoded" ? content.value : new Uint8Array();
      if (new TextDecoder().decode(bytes).startsWith("bad")) {
        throw new ConnectError("Cannot decode the image: it is neither PNG nor JPEG", Code.InvalidArgument);
      }
      const top = [{ classIndex: 7, className: "seven", probability: 0.75 }, {
        classIndex: 1,
        className: "one",
        probability: 0.25,
      }];
      return { predictions: [{ top }] };
    },
    async *streamInfer() {},
    analyzeModel({ source }) {
      const checkpoint = source?.source.case === "checkpoint" ? source.source.value : "";
      const scheme = { scheme: Scheme.FORWARD_EULER, name: "forward Euler", formula: "u + f(u)", steps: 1, order: 1 };
      return { checkpoint, trainingStep: 10, model: { name: "resnet-20" }, scheme: { ...scheme, zeroStable: true } };
    },
  };
  const catalog: ServiceImpl<typeof CatalogService> = {
    listModels: () => ({
      families: [{
        pattern: "lm-resnet-N",
        description: "Linear multi-step ResNet",
        scheme: "linear multi-step",
        examples: ["lm-resnet-20"],
      }],
    }),
    listSchemes: () => ({
      schemes: [{
        scheme: Scheme.MIDPOINT,
        name: "midpoint",
        formula: "u_previous + 2 f(u)",
        steps: 2,
        derivative: 1,
        order: 2,
        measuredOrder: 1.9996,
        characteristicPolynomial: [1, 0, -1],
        roots: [{ real: 1 }, { real: -1 }],
        zeroStable: true,
        source: "Chang et al. 2017",
      }],
    }),
    listRecipes: () => ({
      recipes: [{
        name: "lm-cifar10",
        description: "LM-ResNets on CIFAR-10",
        source: "The authors' code [c]",
        config: { model: { name: "lm-resnet-20" }, dataset: "cifar10", epochs: 160 },
      }],
    }),
    describeModel({ model, input = create(ImageShapeSchema, { height: 32, width: 32, channels: 3 }), ...request }) {
      const { classes = 10, batchSize, emaDecay } = request;
      if (model?.name !== "lm-resnet-20") {
        throw new ConnectError(`Cannot find model "${model?.name}": there are lm-resnet-N`, Code.NotFound);
      }
      return {
        model: {
          name: model.name,
          scheme: "linear multi-step",
          input,
          classes,
          parameters: 269_734n,
          multiplyAdds: 40_551_040n,
          layers: [
            { name: "stem", kind: "conv2d 3x3", outputShape: [32, 32, 16], parameters: 432n, multiplyAdds: 442_368n },
            { name: "head", kind: "linear", outputShape: [10], parameters: 650n, multiplyAdds: 640n },
          ],
        },
        trainingMemory: batchSize === undefined ? undefined : {
          totalBytes: BigInt(batchSize) * 2_000_000n + 10_500_000n,
          parameterBytes: emaDecay === undefined ? 4_400_000n : 5_500_000n,
          activationBytes: BigInt(batchSize) * 2_000_000n,
          workspaceBytes: 1_100_000n,
          imageBytes: 5_000_000n,
        },
      };
    },
    listDatasets: () => ({ datasets: [mnist] }),
    getDatasetSample({ name, imagesPerClass }) {
      if (name !== "mnist") throw new ConnectError(`Cannot find data set "${name}": there are mnist`, Code.NotFound);
      const images = imagesPerClass === 0 ? [] : [{ classIndex: 1, index: 7, png: onePixel }];
      const classes = [{ name: "0", trainImages: 6000, testImages: 1000 }, {
        name: "1",
        trainImages: 2000,
        testImages: 1000,
      }];
      return { dataset: mnist, classes, bytes: 7_840_000n, images };
    },
    async *importDataset({ name, path, url, known, streamed }) {
      yield { kind: { case: "progress", value: { imagesDone: 10, imagesTotal: 20 } } };
      const report = {
        classes: [{ name: "cat", trainImages: 6, testImages: 4 }],
        packedBytes: 1000n,
        skippedFiles: 1,
        skipped: [{ path: "train/cat/a.txt", reason: "not an image" }],
      };
      yield { kind: { case: "report", value: report } };
      const kind = streamed ? DatasetKind.STREAMED : DatasetKind.PACKED;
      yield {
        kind: {
          case: "dataset",
          value: { name, description: path || url || known, trainImages: 10, testImages: 10, kind },
        },
      };
    },
    importModel: ({ name }) => ({ checkpoint: { path: `models/${name}.safetensors` } }),
    async uploadDataset(requests) {
      let bytes = 0;
      let header: UploadHeader | undefined;
      for await (const { kind } of requests) {
        if (kind.case === "header") header = kind.value;
        if (kind.case === "data") bytes += kind.value.length;
      }
      if (header?.name === "mnist") throw new ConnectError("There is a data set of that name", Code.AlreadyExists);
      return {
        dataset: {
          name: header?.name,
          description: `${header?.fileName} ${header?.totalBytes} ${header?.sha256} ${bytes}`,
        },
      };
    },
    getServerInfo: () => ({ version: "0.1.0" }),
  };

  const server = http2.createServer(connectNodeAdapter({
    routes: (router) => {
      router.service(TrainingService, counting({ ...training, ...overrides.training }, calls));
      router.service(InferenceService, counting({ ...inference, ...overrides.inference }, calls));
      router.service(CatalogService, counting({ ...catalog, ...overrides.catalog }, calls));
    },
  }));
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(overrides.port ?? 0, "127.0.0.1", () => resolve()));
  const dropConnections = () => sessions.forEach((session) => session.destroy());
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    runs,
    calls,
    lastConfig: () => lastConfig!,
    dropConnections,
    close: () => {
      dropConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Notes each call's method. */
function counting<T extends object>(implementation: T, calls: string[]): T {
  return Object.fromEntries(
    Object.entries(implementation).map(([method, handler]) => [
      method,
      (...args: unknown[]) => {
        calls.push(method);
        return handler(...args);
      },
    ]),
  ) as T;
}
