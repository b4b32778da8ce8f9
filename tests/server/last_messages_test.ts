/**
 * Messages that an error status follows at once. The server writes them before the trailers and resets nothing, so
 * clients that read in order, such as Connect and grpcio, get them all.
 *
 * grpc-js (1.14.7) tells a status that is not OK as soon as the trailers are there, past the messages that its user has
 * not read yet (`maybeOutputStatus()` in build/src/subchannel-call.js), against any server. Of 50 messages and an error,
 * a user on Node 20 who reads at once got 50 in 60 calls of 60, one who takes a millisecond for each got 17; on Deno
 * 2.9.3, whose http2 hands all over at once, mostly 1. grpcio gave all 50 in 120 calls of 120. So nothing that a client
 * needs rests on messages before an error: WatchRun goes on after the last sequence that was seen.
 */
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { assertEquals } from "@std/assert";
import { TrainingService } from "../../src/gen/mod.ts";
import { buildServer } from "../../src/server/http2_server.ts";
import { Log } from "../../src/server/log.ts";

const messages = 50;

/** A server whose WatchRun tells so many events, then fails. */
async function startFailingServer(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const built = buildServer({
    log: new Log(() => {}),
    routes: (router) =>
      router.service(TrainingService, {
        async *watchRun() {
          for (let sequence = 1; sequence <= messages; sequence++) yield { event: { run: "runs/a", sequence } };
          throw new ConnectError("The run is gone", Code.NotFound);
        },
      }),
  });
  built.server.listen(0, "127.0.0.1");
  await once(built.server, "listening");
  const { port } = built.server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      built.stopAccepting();
      await built.close(1_000);
    },
  };
}

Deno.test("messages before an error status leave before the trailers, and the stream is not reset", async () => {
  const server = await startFailingServer();
  const session = http2.connect(server.url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/multistep.v1.TrainingService/WatchRun",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const order: string[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (order.at(-1) !== "data") order.push("data");
  });
  stream.on("trailers", (trailers) => order.push(`grpc-status ${trailers["grpc-status"]}`));
  stream.end(new Uint8Array(5));
  await once(stream, "close");
  // 5 bytes before each message, which has an event of the run's name and a sequence below 128.
  assertEquals([order, bytes, stream.rstCode], [["data", "grpc-status 5"], messages * (5 + 2 + 8 + 2), 0]);
  session.close();
  await server.close();
});

Deno.test("a client of Connect gets all messages before an error status", async () => {
  const server = await startFailingServer();
  const client = createClient(TrainingService, createGrpcTransport({ baseUrl: server.url }));
  const seen: (number | undefined)[] = [];
  let status: ConnectError | undefined;
  try {
    for await (const { event } of client.watchRun({ name: "runs/a" })) seen.push(event?.sequence);
  } catch (error) {
    status = ConnectError.from(error);
  }
  assertEquals([seen.length, seen.at(-1), status?.rawMessage], [messages, messages, "The run is gone"]);
  await server.close();
});
