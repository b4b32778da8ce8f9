/** What a client does not read stays unwritten: DESIGN's trap of node:http2 in Deno, which tells no back-pressure. */
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { assert, assertEquals } from "@std/assert";
import { reflectionV1 } from "../../src/gen/mod.ts";
import { Log } from "../../src/server/log.ts";
import { buildServer, type Limits } from "../../src/server/mod.ts";
import { frame, FrameType, grpcMessage, post, RawConnection, windowSetting } from "../support/raw_http2.ts";
import { serverTls, tlsText } from "../support/tls_files.ts";
import { until } from "../support/until.ts";

const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/** Bytes of one message. */
const messageBytes = 50_000;

interface Talker extends AsyncDisposable {
  readonly port: number;
  /** "127.0.0.1:PORT" */
  readonly address: string;
  readonly logs: string[];
  /** Messages that its streams have asked for. */
  messages: number;
  ended: number;
}

/** A server whose streams say something without end. */
async function startTalker(options: { limits?: Partial<Limits>; tls?: boolean } = {}): Promise<Talker> {
  const logs: string[] = [];
  const built = buildServer({
    log: new Log((line) => logs.push(line)),
    limits: options.limits,
    tls: options.tls ? serverTls : undefined,
    routes(router) {
      router.service(reflectionV1.ServerReflection, {
        async *serverReflectionInfo() {
          try {
            while (true) {
              talker.messages++;
              yield { validHost: "x".repeat(messageBytes) };
            }
          } finally {
            talker.ended++;
          }
        },
      });
    },
  });
  await new Promise<void>((resolve) => built.server.listen(0, "127.0.0.1", resolve));
  const { port } = built.server.address() as AddressInfo;
  const talker: Talker = {
    port,
    address: `127.0.0.1:${port}`,
    logs,
    messages: 0,
    ended: 0,
    async [Symbol.asyncDispose]() {
      built.stopAccepting();
      await built.close(100);
    },
  };
  return talker;
}

/** Resolves when the streams have stopped asking. */
async function silence(talker: Talker): Promise<void> {
  let before = -1;
  await until(async () => {
    before = talker.messages;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return talker.messages === before;
  }, "the end of the writing");
}

function open(talker: Talker, tls = false): { session: http2.ClientHttp2Session; stream: http2.ClientHttp2Stream } {
  const session = http2.connect(`http${tls ? "s" : ""}://localhost:${talker.port}`, { ca: tlsText("authority.pem") });
  session.on("error", () => {});
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
  stream.on("error", () => {});
  stream.write(grpcMessage());
  return { session, stream };
}

for (const tls of [false, true]) {
  Deno.test(`a stream that its client does not read is written no further, and goes on when it is (TLS: ${tls})`, async () => {
    await using talker = await startTalker({ tls });
    const { session, stream } = open(talker, tls);
    stream.pause();
    await until(() => talker.messages > 0);
    await silence(talker);
    const held = talker.messages;
    assert(held * messageBytes < 500_000, `${held} messages`);
    let received = 0;
    stream.on("data", ({ length }: Uint8Array) => received += length).resume();
    await until(() => received > 20 * messageBytes + held * messageBytes);
    assert(talker.messages > held);
    session.destroy();
    await until(() => talker.ended === 1);
  });
}

Deno.test("a client that reads nothing of its connection is written no further, however wide its windows", async () => {
  await using talker = await startTalker();
  using connection = new RawConnection(talker.address);
  const wide = frame(FrameType.windowUpdate, { payload: Uint8Array.of(0x7f, 0xf0, 0, 0) });
  connection.begin(windowSetting(2 ** 31 - 1), wide);
  connection.send(post(1, path), frame(FrameType.data, { stream: 1, payload: grpcMessage() }));
  connection.pause();
  await until(() => talker.messages > 0);
  await silence(talker);
  // The system's own buffers take some megabytes.
  assert(talker.messages * messageBytes < 20_000_000, `${talker.messages} messages`);
});

Deno.test("a stream that is read goes on beside one that is not, on one connection", async () => {
  await using talker = await startTalker();
  using connection = new RawConnection(talker.address);
  const wide = frame(FrameType.windowUpdate, { payload: Uint8Array.of(0x7f, 0xf0, 0, 0) });
  connection.begin(windowSetting(100_000), wide);
  for (const stream of [1, 3]) {
    connection.send(post(stream, path), frame(FrameType.data, { stream, payload: grpcMessage() }));
  }
  const received = (stream: number) =>
    connection.frames.reduce(
      (sum, { type, stream: id, payload }) => type === FrameType.data && id === stream ? sum + payload.length : sum,
      0,
    );
  await silence(talker);
  assertEquals([received(1), received(3)], [100_000, 100_000]);
  connection.send(frame(FrameType.windowUpdate, { stream: 3, payload: Uint8Array.of(0, 0x10, 0, 0) }));
  await until(() => received(3) === 100_000 + 0x100000);
  assertEquals(received(1), 100_000);
});

Deno.test("a stream whose client reads nothing for too long is reset", async () => {
  await using talker = await startTalker({ limits: { stallTimeout: 200 } });
  const { session, stream } = open(talker);
  stream.pause();
  const closed = new Promise((resolve) => stream.once("close", resolve));
  await until(() => talker.ended === 1);
  stream.resume();
  await closed;
  assertEquals(stream.rstCode, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  assertEquals(talker.logs.map((line) => JSON.parse(line).message), ["client reads nothing"]);
  session.destroy();
});

Deno.test("a connection that has much unread gets no new calls", async () => {
  await using talker = await startTalker({ limits: { unsentBytesPerConnection: 100_000 } });
  const { session, stream } = open(talker);
  stream.pause();
  await until(() => talker.messages > 0);
  await silence(talker);
  const status = async () => {
    const call = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    call.on("error", () => {}).resume();
    const headers = await new Promise<http2.IncomingHttpHeaders>((resolve) => call.once("response", resolve));
    call.close();
    return headers["grpc-status"];
  };
  // One stream holds back after 64 KiB; the limit counts over all.
  assertEquals(await status(), undefined);
  const others = [1, 2].map(() => {
    const other = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    return other.on("error", () => {}).pause();
  });
  for (const other of others) other.write(grpcMessage());
  await silence(talker);
  assertEquals(await status(), "8");
  session.destroy();
});
