/** Each limit of the server: what is past it gets a clear status or a closed connection, and the rest goes on. */
import { assert, assertEquals } from "@std/assert";
import type { Limits } from "../../src/server/mod.ts";
import {
  assertStatus,
  type EventMessage,
  GrpcClient,
  longConfig,
  quickConfig,
  Status,
} from "../support/grpc_client.ts";
import { frame, FrameType, grpcMessage, post, RawConnection } from "../support/raw_http2.ts";
import { startTestServer, type TestServer } from "../support/test_server.ts";
import { until } from "../support/until.ts";

function withLimits(
  limits: Partial<Limits>,
  test: (server: TestServer, client: GrpcClient) => Promise<void>,
): () => Promise<void> {
  return async () => {
    await using server = await startTestServer({ limits });
    using client = new GrpcClient(server.address);
    await test(server, client);
    // Whatever was refused, the server still answers.
    using other = new GrpcClient(server.address);
    await until(() => other.unary("CatalogService/GetServerInfo").then(() => true, () => false));
  };
}

const watchPath = "/grpc.health.v1.Health/Watch";
const infoPath = "/multistep.v1.CatalogService/GetServerInfo";

/** A stream that stays open. @returns after its first answer, what ends it */
async function openStream(client: GrpcClient): Promise<() => void> {
  const call = client.stream("grpc.health.v1.Health/Watch");
  call.on("error", () => {});
  await new Promise((resolve) => call.once("data", resolve));
  return () => call.cancel();
}

const framesOf = ({ frames }: RawConnection, type: number) => frames.filter((frame) => frame.type === type);

Deno.test(
  "a connection past the limit is closed, and one that ends makes room",
  withLimits({ connections: 2 }, async ({ address }, client) => {
    await client.unary("CatalogService/GetServerInfo");
    const second = new RawConnection(address);
    second.begin();
    await until(() => framesOf(second, FrameType.settings).length > 0);
    using third = new RawConnection(address);
    third.begin();
    await third.closed;
    assertEquals(third.frames, []);
    second[Symbol.dispose]();
    await second.closed;
  }),
);

Deno.test(
  "a call past the limit of all calls is RESOURCE_EXHAUSTED, and one that ends makes room",
  withLimits({ calls: 2 }, async ({ address }, client) => {
    using other = new GrpcClient(address);
    const ends = [await openStream(client), await openStream(other)];
    await assertStatus(
      client.unary("CatalogService/GetServerInfo"),
      Status.RESOURCE_EXHAUSTED,
      "at most 2 calls at a time",
    );
    for (const end of ends) end();
    await until(() => client.unary("CatalogService/GetServerInfo").then(() => true, () => false));
  }),
);

Deno.test(
  "streams past the limit of a connection wait",
  withLimits({ streamsPerConnection: 2 }, async (_server, client) => {
    const ends = [await openStream(client), await openStream(client)];
    let answered = false;
    const waiting = client.unary("CatalogService/GetServerInfo").then(() => answered = true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals(answered, false);
    ends[0]();
    await waiting;
    ends[1]();
  }),
);

Deno.test(
  "calls whose streams were reset count while they are worked on",
  withLimits({ requestsPerConnection: 2 }, async ({ address, catalog }, client) => {
    const finish = Promise.withResolvers<void>();
    let started = 0;
    catalog.listDatasets = async () => {
      started++;
      await finish.promise;
      return [];
    };
    using other = new GrpcClient(address);
    const list = (milliseconds: number) => {
      return other.unary("CatalogService/ListDatasets", {}, { deadline: Date.now() + milliseconds });
    };
    const left = [1, 2].map(() => assertStatus(list(1_000), Status.DEADLINE_EXCEEDED));
    await until(() => started === 2);
    await Promise.all(left);
    await assertStatus(list(5_000), Status.RESOURCE_EXHAUSTED, "at most 2 calls of a connection");
    await client.unary("CatalogService/GetServerInfo");
    finish.resolve();
    await until(() => other.unary("CatalogService/GetServerInfo").then(() => true, () => false));
  }),
);

Deno.test(
  "a run past the limit of the queue is RESOURCE_EXHAUSTED, and a known request id is not",
  withLimits({ queuedRuns: 1 }, async (_server, client) => {
    const start = async (request_id: string): Promise<string> => {
      const call = client.stream("TrainingService/Train", { config: longConfig(), request_id });
      const first = new Promise<EventMessage>((resolve, reject) => call.once("data", resolve).on("error", reject));
      const { event } = await first;
      call.cancel();
      return event.run;
    };
    const [running, queued] = [await start("a"), await start("b")];
    const third = client.collect("TrainingService/Train", { config: longConfig(), request_id: "c" });
    await assertStatus(third, Status.RESOURCE_EXHAUSTED, "At most 1 runs wait for the GPU");
    assertEquals(await start("b"), queued);
    await client.unary("TrainingService/PauseRun", { name: queued });
    const other = await start("d");
    const resumed = client.unary("TrainingService/ResumeRun", { name: queued });
    await assertStatus(resumed, Status.RESOURCE_EXHAUSTED, "At most 1 runs wait for the GPU");
    await client.unary("TrainingService/CancelRun", { name: other });
    await client.unary("TrainingService/ResumeRun", { name: queued });
    for (const name of [queued, running]) await client.unary("TrainingService/CancelRun", { name });
  }),
);

Deno.test(
  "an answer past the limit is RESOURCE_EXHAUSTED",
  withLimits({ answerBytes: 2_000 }, async (_server, client) => {
    for (let i = 0; i < 20; i++) await client.collect("TrainingService/Train", { config: quickConfig() });
    await client.unary("TrainingService/ListRuns", { page_size: 1 });
    await assertStatus(client.unary("TrainingService/ListRuns"), Status.RESOURCE_EXHAUSTED, "2000");
  }),
);

Deno.test(
  "headers past the limit end the stream, not the connection",
  withLimits({ headerBytes: 4_096 }, async ({ address }) => {
    using connection = new RawConnection(address);
    connection.begin();
    // The limit counts from when the client has acknowledged it.
    await until(() => framesOf(connection, FrameType.settings).length === 2);
    connection.send(post(1, infoPath, { "x-large": "y".repeat(5_000) }));
    await until(() => framesOf(connection, FrameType.resetStream).some(({ stream }) => stream === 1));
    connection.send(post(3, infoPath), frame(FrameType.data, { flags: 1, stream: 3, payload: grpcMessage() }));
    await until(() => framesOf(connection, FrameType.data).some(({ stream }) => stream === 3));
  }),
);

Deno.test(
  "a request that trickles is DEADLINE_EXCEEDED and its stream closed",
  withLimits({ requestTimeout: 100 }, async ({ address }, client) => {
    using connection = new RawConnection(address);
    connection.begin();
    connection.send(post(1, infoPath), frame(FrameType.data, { stream: 1, payload: new Uint8Array(2) }));
    await until(() => framesOf(connection, FrameType.headers).length > 0);
    const { payload } = framesOf(connection, FrameType.headers)[0];
    assert(payload.length > 0);
    // A stream that only answers for long is no trickle.
    const end = await openStream(client);
    await new Promise((resolve) => setTimeout(resolve, 200));
    end();
  }),
);

Deno.test(
  "a connection that says nothing is closed",
  withLimits({ handshakeTimeout: 100 }, async ({ address }) => {
    const began = performance.now();
    using silent = new RawConnection(address);
    await silent.closed;
    const lasted = performance.now() - began;
    assert(lasted > 80 && lasted < 5_000, `${lasted} ms`);
  }),
);

Deno.test(
  "a connection without calls is closed with GOAWAY, one with a stream is not",
  withLimits({ idleTimeout: 100 }, async ({ address }, client) => {
    const end = await openStream(client);
    using idle = new RawConnection(address);
    idle.begin();
    await until(() => framesOf(idle, FrameType.goaway).length > 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await client.unary("CatalogService/GetServerInfo");
    end();
  }),
);

Deno.test(
  "an old connection takes no new calls, and its streams are cut after the grace",
  withLimits({ connectionAge: 200, connectionGrace: 300 }, async (_server, client) => {
    const began = performance.now();
    const call = client.stream("grpc.health.v1.Health/Watch");
    const ended = new Promise<number>((resolve) => call.on("error", () => resolve(performance.now() - began)));
    call.on("data", () => {});
    // Calls during the change to another connection are answered all the same.
    while (performance.now() - began < 400) await client.unary("CatalogService/GetServerInfo");
    const lasted = await ended;
    assert(lasted > 450 && lasted < 5_000, `${lasted} ms`);
  }),
);

Deno.test(
  "a client that answers no pings is taken for gone",
  withLimits({ pingInterval: 50, pingTimeout: 50 }, async ({ address }, client) => {
    const end = await openStream(client);
    using silent = new RawConnection(address);
    silent.begin();
    silent.send(post(1, watchPath), frame(FrameType.data, { flags: 1, stream: 1, payload: grpcMessage() }));
    await silent.closed;
    assert(framesOf(silent, FrameType.ping).length > 0);
    // grpc-js answers.
    await client.unary("CatalogService/GetServerInfo");
    end();
  }),
);

Deno.test(
  "a flood of frames that cost the server work ends the connection",
  withLimits({}, async ({ address }) => {
    const floods = {
      ping: frame(FrameType.ping, { payload: new Uint8Array(8) }),
      settings: frame(FrameType.settings),
      "empty data": frame(FrameType.data, { stream: 1 }),
    };
    for (const [name, flood] of Object.entries(floods)) {
      using connection = new RawConnection(address);
      connection.begin();
      connection.send(post(1, watchPath));
      for (let i = 0; i < 10_000; i++) connection.send(flood);
      let closed = false;
      connection.closed.then(() => closed = true);
      await until(() => closed, `the end of a flood of ${name}`);
    }
  }),
);

Deno.test(
  "streams opened and reset without end close the connection",
  withLimits({}, async ({ address }) => {
    using connection = new RawConnection(address);
    connection.begin();
    let closed = false;
    connection.closed.then(() => closed = true);
    for (let id = 1; id < 20_000 && !closed; id += 2) {
      connection.send(post(id, watchPath), frame(FrameType.resetStream, { stream: id, payload: new Uint8Array(4) }));
      if (id % 200 === 1) await new Promise((resolve) => setTimeout(resolve));
    }
    await until(() => closed);
  }),
);
