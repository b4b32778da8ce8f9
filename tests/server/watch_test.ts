/** Watching over HTTP/2, where most of what watchers are told goes past Connect's pipeline. */
import { assert, assertEquals } from "@std/assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { type RunEvent, TrainingService, WatchRunRequestSchema, WatchRunResponseSchema } from "../../src/gen/mod.ts";
import { frame, FrameType, grpcMessage, post, RawConnection, windowSetting } from "../support/raw_http2.ts";
import { startTestServer } from "../support/test_server.ts";
import { until } from "../support/until.ts";

const config = { model: { name: "lm-resnet-20" }, dataset: "digits", epochs: 2 };
/** The flag of HTTP/2 frames. */
const endStream = 0x1;
/** Small batches and every step logged, so that streams have many of both. */
const runs = { metricsInterval: 0, watchBatch: 3 };

async function readAll(transport: Transport, name: string): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const { event } of createClient(TrainingService, transport).watchRun({ name })) {
    if (event) events.push(event);
  }
  return events;
}

Deno.test("WatchRun tells every protocol and encoding the same, and how the run ended", async () => {
  await using server = await startTestServer({ runs });
  const baseUrl = `http://${server.address}`;
  const grpc = createGrpcTransport({ baseUrl });
  const training = createClient(TrainingService, grpc);
  const trained: RunEvent[] = [];
  for await (const { event } of training.train({ config })) if (event) trained.push(event);
  assert(trained.length > 2 * runs.watchBatch, `${trained.length} events`);
  assertEquals(trained.map(({ sequence }) => sequence), trained.map((_, i) => i + 1));
  const { run: name } = trained[0];
  const transports = [
    grpc,
    createGrpcTransport({ baseUrl, useBinaryFormat: false }),
    createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
    createConnectTransport({ baseUrl, httpVersion: "2" }),
    createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  ];
  for (const transport of transports) assertEquals(await readAll(transport, name), trained);
});

Deno.test("watchers that take nothing have little held for them, and miss nothing when they do", async () => {
  await using server = await startTestServer({
    runs,
    // As much as one stream of another method may hold.
    limits: { unsentBytesPerConnection: 64 * 1024 },
    fake: { stepTime: 0 },
  });
  const training = createClient(TrainingService, createGrpcTransport({ baseUrl: `http://${server.address}` }));
  const trained: RunEvent[] = [];
  for await (const { event } of training.train({ config: { ...config, epochs: 100 } })) if (event) trained.push(event);
  using connection = new RawConnection(server.address);
  connection.begin(windowSetting(0), frame(FrameType.windowUpdate, { payload: Uint8Array.of(0x7f, 0, 0, 0) }));
  const request = grpcMessage(toBinary(WatchRunRequestSchema, create(WatchRunRequestSchema, { name: trained[0].run })));
  const call = (stream: number, method: string) => {
    const data = frame(FrameType.data, { stream, payload: request, flags: endStream });
    connection.send(post(stream, `/${TrainingService.typeName}/${method}`), data);
  };
  const of = (stream: number, type: number) => connection.frames.filter((f) => f.stream === stream && f.type === type);
  const streams = Array.from({ length: 20 }, (_, i) => 1 + 2 * i);
  for (const stream of streams) call(stream, "WatchRun");
  await until(() => streams.every((stream) => of(stream, FrameType.headers).length === 1));
  // More than what is held now would be written in this time, were it not for the windows.
  await new Promise((resolve) => setTimeout(resolve, 500));
  call(99, "GetRun");
  await until(() => of(99, FrameType.headers).length === 1);
  assertEquals(of(99, FrameType.headers)[0].flags & endStream, 0, "RESOURCE_EXHAUSTED");
  for (const stream of streams) {
    connection.send(frame(FrameType.windowUpdate, { stream, payload: Uint8Array.of(0, 0x10, 0, 0) }));
  }
  await until(() => streams.every((stream) => of(stream, FrameType.headers).length === 2));
  const sequences = trained.map(({ sequence }) => sequence);
  for (const stream of streams) {
    assertEquals(sequencesOf(of(stream, FrameType.data).map(({ payload }) => payload)), sequences);
  }
});

function sequencesOf(chunks: readonly Uint8Array[]): number[] {
  const bytes = new Uint8Array(chunks.flatMap((chunk) => [...chunk]));
  const sequences: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = new DataView(bytes.buffer).getUint32(at + 1);
    const { event } = fromBinary(WatchRunResponseSchema, bytes.subarray(at + 5, at + 5 + length));
    if (event) sequences.push(event.sequence);
    at += 5 + length;
  }
  return sequences;
}
