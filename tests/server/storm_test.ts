/** What has brought servers of this kind down: see the design's note on nghttp2. */
import http2 from "node:http2";
import net from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { assert, assertEquals } from "@std/assert";
import { WatchRunRequestSchema } from "../../src/gen/mod.ts";
import { type EventMessage, GrpcClient, longConfig, quickConfig } from "../support/grpc_client.ts";
import { startTestServer, type TestServer } from "../support/test_server.ts";

function errorsOf(server: TestServer): string[] {
  return server.logs.filter((line) => JSON.parse(line).level === "error");
}

/** A server waits a second for watchers that do not end, when it stops. */
async function assertNoWatcher(server: TestServer): Promise<void> {
  const begin = performance.now();
  await server.stop();
  assert(performance.now() - begin < 900, "watchers were left behind");
}

function grpcHeaders(path: string): http2.OutgoingHttpHeaders {
  return { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
}

Deno.test("300 concurrent calls and a closed channel, ten times, leave the server alive", async () => {
  await using server = await startTestServer();
  const script = new URL("../support/storm_client.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", script, server.address];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  using client = new GrpcClient(server.address);
  await client.unary("CatalogService/GetServerInfo");
  assertEquals(errorsOf(server), []);
});

Deno.test("streams that are cancelled while they run leave no watcher behind", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const train = client.stream("TrainingService/Train", { config: longConfig() });
  train.on("error", () => {});
  const { event: { run: name } } = await new Promise<EventMessage>((resolve) => train.once("data", resolve));
  for (let round = 0; round < 5; round++) {
    const calls = Array.from({ length: 40 }, () => client.stream("TrainingService/WatchRun", { name }));
    await Promise.all(calls.map((call) => {
      call.on("error", () => {});
      return new Promise((resolve) => call.once("data", resolve));
    }));
    for (const call of calls) call.cancel();
  }
  train.cancel();
  await assertNoWatcher(server);
  assertEquals(errorsOf(server), []);
});

Deno.test("a watcher whose connection is cut is not left behind, and its run goes on", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const train = client.stream("TrainingService/Train", { config: longConfig() });
  train.on("error", () => {});
  const { event: { run: name } } = await new Promise<EventMessage>((resolve) => train.once("data", resolve));
  train.cancel();
  const message = toBinary(WatchRunRequestSchema, create(WatchRunRequestSchema, { name }));
  const sessions = Array.from({ length: 5 }, () => {
    const session = http2.connect(`http://${server.address}`);
    session.on("error", () => {});
    const request = session.request(grpcHeaders("/multistep.v1.TrainingService/WatchRun"));
    request.on("error", () => {});
    request.end(new Uint8Array([0, 0, 0, 0, message.length, ...message]));
    return { session, answered: new Promise((resolve) => request.once("data", resolve)) };
  });
  for (const { answered, session } of sessions) {
    await answered;
    session.destroy();
  }
  assertEquals(server.engine.activeTrainings, 1);
  await assertNoWatcher(server);
  assertEquals(errorsOf(server), []);
});

Deno.test("connections that are cut in the middle of calls leave the server alive", async () => {
  await using server = await startTestServer();
  const [, port] = server.address.split(":");
  for (let round = 0; round < 20; round++) {
    const session = http2.connect(`http://${server.address}`);
    session.on("error", () => {});
    const request = session.request(grpcHeaders("/multistep.v1.TrainingService/Train"));
    request.on("error", () => {});
    // A frame that promises more than comes.
    request.write(new Uint8Array([0, 0, 0, 1, 0, 1, 2, 3]));
    await new Promise((resolve) => setTimeout(resolve, 2));
    session.destroy();
  }
  for (
    const bytes of [
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\xff\xff",
      "\0".repeat(100),
    ]
  ) {
    const socket = net.connect(Number(port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(bytes, "latin1");
    await new Promise((resolve) => setTimeout(resolve, 10));
    socket.destroy();
  }
  using client = new GrpcClient(server.address);
  const events = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  assertEquals(events.at(-1)?.event.state_changed?.state, "RUN_STATE_SUCCEEDED");
});

type ResponseHeaders = http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;

async function post(address: string, path: string, contentType: string): Promise<ResponseHeaders> {
  const session = http2.connect(`http://${address}`);
  try {
    const request = session.request({ ...grpcHeaders(path), "content-type": contentType });
    request.end();
    return await new Promise((resolve, reject) => {
      request.on("response", (headers) => resolve(headers)).on("error", reject);
      request.resume();
    });
  } finally {
    session.close();
  }
}

Deno.test("an unknown method is UNIMPLEMENTED to gRPC and 404 to others, other content is 415", async () => {
  await using server = await startTestServer();
  const unknown = await post(server.address, "/multistep.v1.TrainingService/Nothing", "application/grpc");
  assertEquals([unknown[":status"], unknown["grpc-status"]], [200, "12"]);
  assertEquals(
    unknown["grpc-message"],
    "There is no method /multistep.v1.TrainingService/Nothing; reflection lists what there is",
  );
  assertEquals((await post(server.address, "/nothing", "text/plain"))[":status"], 404);
  assertEquals((await post(server.address, "//", "text/plain"))[":status"], 404);
  assertEquals((await post(server.address, "/multistep.v1.CatalogService/ListModels", "text/plain"))[":status"], 415);
});
