/** Requests that no honest client sends, the same for the same seed, and what became of each. */
import http2 from "node:http2";
import net from "node:net";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as proto from "../../src/gen/mod.ts";
import { frame, FrameType, grpcMessage, post, preface, RawConnection } from "./raw_http2.ts";

/** How a request ended: a status of gRPC, one of HTTP, an answer, or the end of its stream or connection. */
export type Outcome =
  | { readonly kind: "grpc"; readonly status: number; readonly message: string }
  | { readonly kind: "http"; readonly status: number }
  | { readonly kind: "answered" | "reset" | "closed" | "hangs" };

export interface MalformedCase {
  readonly kind: string;
  send(address: string): Promise<Outcome>;
}

/** Until a case counts as hanging, in milliseconds. */
const patience = 20_000;

/** xorshift32 */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed || 1;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

export function* malformedCases(seed: number): Generator<MalformedCase> {
  const random = new Random(seed);
  while (true) {
    const [kind, make] = random.pick(kinds);
    yield { kind, send: make(random) };
  }
}

type Make = (random: Random) => MalformedCase["send"];

const kinds: readonly (readonly [string, Make])[] = [
  ["mutated message", (random) => {
    const { path, bytes } = random.pick(requests);
    return call(path, grpcMessage(mutate(bytes, random)));
  }],
  ["random message", (random) => call(random.pick(requests).path, grpcMessage(random.bytes(random.below(300))))],
  ["random body", (random) => call(random.pick(requests).path, random.bytes(random.below(300)))],
  ["wrong path", (random) => {
    const { path } = random.pick(requests);
    const wrong = [
      `${path}x`,
      path.slice(1),
      "/",
      "//",
      "*",
      `/${"a/".repeat(random.below(200))}`,
      "/%00%ff",
      "/../etc",
    ];
    return call(random.pick(wrong), grpcMessage());
  }],
  ["wrong headers", (random) => {
    const headers = random.pick<http2.OutgoingHttpHeaders>([
      { ":method": random.pick(["GET", "PUT", "OPTIONS", "HEAD", "CONNECT", "X"]) },
      {
        "content-type": random.pick([
          "text/html",
          "application/grpc+xml",
          "application/json",
          "",
          "application/grpc;;",
        ]),
      },
      { "grpc-timeout": random.pick(["1", "-1S", "99999999999S", "1x", "0n", "S"]) },
      { "grpc-encoding": random.pick(["zip", "gzip", "", "\t"]) },
      { "connect-protocol-version": "9", "content-type": "application/proto" },
      { "x-request-id": "y".repeat(random.below(2_000)) },
      { "x-large": "y".repeat(20_000) },
      { authorization: random.pick(["Bearer", "Basic x", "Bearer ".repeat(50)]) },
    ]);
    return call(random.pick(requests).path, grpcMessage(random.pick(requests).bytes), headers);
  }],
  ["wrong length", (random) => {
    const { path, bytes } = random.pick(requests);
    const message = grpcMessage(bytes);
    new DataView(message.buffer).setUint32(1, random.pick([0, bytes.length + 1, 2 ** 20, 2 ** 31, 2 ** 32 - 1]));
    return call(path, message);
  }],
  ["wrong flags", (random) => {
    const { path, bytes } = random.pick(requests);
    const message = grpcMessage(bytes);
    message[0] = 1 + random.below(255);
    return call(path, message);
  }],
  ["truncated", (random) => {
    const { path, bytes } = random.pick(requests);
    const message = grpcMessage(bytes);
    return call(path, message.subarray(0, random.below(message.length)));
  }],
  [
    "oversized",
    (random) => call(random.pick(requests).path, grpcMessage(new Uint8Array(100_000 + random.below(50_000)))),
  ],
  ["abandoned", (random) => {
    const { path, bytes } = random.pick(requests);
    return call(path, grpcMessage(bytes).subarray(0, 3), {}, false);
  }],
  ["wrong frame", (random) => {
    const bytes = wrongFrame(random);
    return raw((connection) => {
      connection.begin();
      connection.send(bytes);
    });
  }],
  ["random frames", (random) => {
    const frames = Array.from({ length: 1 + random.below(5) }, () =>
      frame(random.below(12), {
        flags: random.below(256),
        stream: random.below(8),
        payload: random.bytes(random.below(64)),
      }));
    return raw((connection) => {
      connection.begin();
      connection.send(...frames);
    }, true);
  }],
  ["random bytes", (random) => {
    const bytes = random.bytes(1 + random.below(500));
    return raw((connection) => connection.send(bytes), true);
  }],
  ["half a preface", (random) => raw((connection) => connection.send(preface.subarray(0, random.below(24))), true)],
  ["HTTP/1", (random) => {
    const verb = random.pick([
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      "POST /x HTTP/1.0\r\n\r\n",
      "GET /\r\n",
      "HELO x\r\n",
    ]);
    return raw((connection) => connection.send(new TextEncoder().encode(verb)));
  }],
  ["TLS hello", () => raw((connection) => connection.send(Uint8Array.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3)), true)],
  ["cut connection", (random) => {
    const { path, bytes } = random.pick(requests);
    const message = grpcMessage(bytes);
    return raw((connection) => {
      connection.begin();
      connection.send(post(1, path), frame(FrameType.data, { stream: 1, payload: message.subarray(0, 4) }));
    }, true);
  }],
];

function encoded<D extends DescMessage>(path: string, schema: D, message: MessageInitShape<D>) {
  return { path: `/multistep.v1.${path}`, bytes: toBinary(schema, create(schema, message)) };
}

const pixels = { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16) };

/** Requests as they should be. */
const requests = [
  encoded("TrainingService/Train", proto.TrainRequestSchema, {
    config: {
      model: { name: "lm-resnet-20" },
      dataset: "digits",
      epochs: 2,
      schedule: { milestones: [1], factor: 0.1 },
    },
    requestId: "again",
  }),
  encoded("TrainingService/GetRun", proto.GetRunRequestSchema, { name: "runs/abcdefghij" }),
  encoded("TrainingService/ListRuns", proto.ListRunsRequestSchema, { pageSize: 10, pageToken: "x" }),
  encoded("TrainingService/CancelRun", proto.CancelRunRequestSchema, { name: "runs/abcdefghij" }),
  encoded("TrainingService/WatchRun", proto.WatchRunRequestSchema, { name: "runs/abcdefghij", afterSequence: 3 }),
  encoded("InferenceService/Infer", proto.InferRequestSchema, {
    source: { source: { case: "checkpoint", value: "runs/x/checkpoints/y.safetensors" } },
    images: [{ content: { case: "raw", value: pixels } }],
    topK: 3,
  }),
  encoded("InferenceService/StreamInfer", proto.StreamInferRequestSchema, {
    id: "a",
    source: { source: { case: "run", value: "runs/abcdefghij" } },
    image: { content: { case: "encoded", value: new Uint8Array(50) } },
  }),
  encoded("CatalogService/DescribeModel", proto.DescribeModelRequestSchema, { model: { name: "lm-resnet-20" } }),
  encoded("CatalogService/ImportDataset", proto.ImportDatasetRequestSchema, { name: "x", path: "../x" }),
];

/** Flips, cuts, doubles or inserts. */
function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let mutated = bytes.slice();
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(mutated.length + 1);
    switch (random.below(4)) {
      case 0:
        if (mutated.length > 0) mutated[at % mutated.length] ^= 1 << random.below(8);
        break;
      case 1:
        mutated = mutated.slice(0, at);
        break;
      case 2:
        mutated = Uint8Array.of(
          ...mutated.subarray(0, at),
          ...random.bytes(1 + random.below(8)),
          ...mutated.subarray(at),
        );
        break;
      default:
        mutated = Uint8Array.of(...mutated, ...mutated.subarray(at));
    }
  }
  return mutated;
}

/** A frame that the protocol forbids. */
function wrongFrame(random: Random): Uint8Array {
  return random.pick([
    () => frame(FrameType.data, { stream: 0, payload: new Uint8Array(4) }),
    () => frame(FrameType.data, { stream: 5, payload: new Uint8Array(4) }),
    () => frame(FrameType.headers, { flags: 4, stream: 2, payload: Uint8Array.of(0x83) }),
    () => frame(FrameType.headers, { flags: 4, stream: 1, payload: random.bytes(30) }),
    () => frame(FrameType.headers, { flags: 4, stream: 0, payload: Uint8Array.of(0x83) }),
    () => frame(FrameType.settings, { payload: new Uint8Array(5) }),
    () => frame(FrameType.settings, { stream: 1 }),
    () => frame(FrameType.ping, { payload: new Uint8Array(7) }),
    () => frame(FrameType.resetStream, { stream: 9, payload: new Uint8Array(4) }),
    () => frame(FrameType.windowUpdate, { payload: new Uint8Array(4) }),
    () => frame(FrameType.windowUpdate, { payload: new Uint8Array(3) }),
    () => frame(5, { flags: 4, stream: 1, payload: new Uint8Array(8) }),
    () => frame(9, { flags: 4, stream: 1, payload: new Uint8Array(8) }),
    () => Uint8Array.of(0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0),
  ])();
}

/** A call over an honest connection. @param ends whether the request is ended */
function call(
  path: string,
  body: Uint8Array,
  headers: http2.OutgoingHttpHeaders = {},
  ends = true,
): MalformedCase["send"] {
  return (address) =>
    within(patience, (resolve) => {
      const session = http2.connect(`http://${address}`);
      session.on("error", () => resolve({ kind: "closed" }));
      session.on("close", () => resolve({ kind: "closed" }));
      const basic = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
      let stream: http2.ClientHttp2Stream;
      try {
        stream = session.request({ ...basic, ...headers }, { endStream: false });
      } catch {
        // The client itself refuses to send it.
        resolve({ kind: "reset" });
        return () => session.destroy();
      }
      const status = (given: http2.IncomingHttpHeaders) => {
        const code = given["grpc-status"];
        if (code === undefined) return;
        resolve({
          kind: "grpc",
          status: Number(code),
          message: decodeURIComponent(String(given["grpc-message"] ?? "")),
        });
      };
      stream.on("error", () => resolve({ kind: "reset" }));
      stream.on("response", (given) => {
        status(given);
        const http = Number(given[":status"]);
        if (http >= 400) resolve({ kind: "http", status: http });
      });
      stream.on("trailers", status);
      stream.on("data", () => resolve({ kind: "answered" }));
      stream.on("close", () => resolve({ kind: "reset" }));
      stream.write(body);
      if (ends) stream.end();
      return () => session.destroy();
    });
}

/** A connection by hand. @param leaves whether the client itself closes it after a moment, as the server may wait */
function raw(act: (connection: RawConnection) => void, leaves = false): MalformedCase["send"] {
  return (address) =>
    within(patience, (resolve) => {
      const connection = new RawConnection(address);
      connection.closed.then(() => {
        const { frames } = connection;
        const ended = frames.some(({ type }) => type === FrameType.resetStream || type === FrameType.goaway);
        resolve({ kind: ended ? "reset" : "closed" });
      });
      act(connection);
      if (leaves) setTimeout(() => connection[Symbol.dispose](), 50);
      return () => connection[Symbol.dispose]();
    });
}

/** @param start gets what takes the outcome; returns what cleans up */
function within(milliseconds: number, start: (resolve: (outcome: Outcome) => void) => () => void): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const timer = setTimeout(() => resolve({ kind: "hangs" }), milliseconds);
  const clean = start(resolve);
  return promise.finally(() => {
    clearTimeout(timer);
    clean();
  });
}

/** Whether the server takes connections at all. */
export function isListening(address: string): Promise<boolean> {
  const [host, port] = address.split(":");
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect(Number(port), host);
  socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
