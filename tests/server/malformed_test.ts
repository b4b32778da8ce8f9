/** Requests of ill will: each is answered with a status or closed, and the server goes on. */
import { assert, assertEquals } from "@std/assert";
import { GrpcClient } from "../support/grpc_client.ts";
import { malformedCases } from "../support/malformed.ts";
import { FrameType, post, RawConnection } from "../support/raw_http2.ts";
import { startTestServer } from "../support/test_server.ts";
import { until } from "../support/until.ts";

const count = 400;
const together = 20;

Deno.test(`${count} malformed requests are each answered with a clean status or closed`, async () => {
  const limits = { messageBytes: 65_536, requestTimeout: 300, handshakeTimeout: 300 };
  await using server = await startTestServer({ limits, metricsListen: "127.0.0.1:0" });
  const cases = malformedCases(20261124);
  let left = count;
  const work = async () => {
    while (left-- > 0) {
      const { value: { kind, send } } = cases.next() as { value: ReturnType<typeof cases.next>["value"] };
      const outcome = await send(server.address);
      const said = `${kind}: ${JSON.stringify(outcome)}`;
      assert(outcome.kind !== "hangs", said);
      if (outcome.kind !== "grpc") continue;
      assert(!outcome.message.includes("An internal error"), said);
      assert(!/\n\s+at |\.ts:|file:/.test(outcome.message) && !outcome.message.includes(server.dataDir), said);
    }
  };
  await Promise.all(Array.from({ length: together }, work));
  using client = new GrpcClient(server.address);
  await client.unary("CatalogService/GetServerInfo");
  const errors = server.logs.map((line) => JSON.parse(line)).filter(({ level }) => level === "error");
  assertEquals(errors, []);
  await until(async () => {
    const page = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    return page.includes("\nmultistep_streams_open 0\n") && page.includes("\nmultistep_connections_open 1\n");
  });
});

Deno.test("a request without a proper authority is refused as the client's fault", async () => {
  await using server = await startTestServer();
  for (const authority of ["", "a b", "x:y:z"]) {
    using connection = new RawConnection(server.address);
    connection.begin();
    connection.send(post(1, "/multistep.v1.CatalogService/GetServerInfo", { ":authority": authority }));
    await until(() => connection.frames.some(({ type }) => type !== FrameType.settings));
  }
  assertEquals(server.logs.filter((line) => JSON.parse(line).level === "error"), []);
});
