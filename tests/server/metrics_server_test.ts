import { assertEquals, assertStringIncludes } from "@std/assert";
import { Log } from "../../src/server/log.ts";
import { startMetricsServer } from "../../src/server/observability/metrics_server.ts";

Deno.test("the metrics' port answers a broken host and metrics that fail, and writes no stack beside the log", async () => {
  const lines: string[] = [];
  const metrics = { contentType: "text/plain", read: () => Promise.reject(new Error("no disk")) };
  const parts = { metrics, log: new Log((line) => lines.push(line)), isServing: () => true };
  await using server = startMetricsServer({ host: "127.0.0.1", port: 0 }, parts);
  const [hostname, port] = server.address.split(":");
  const get = async (path: string, host: string) => {
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const text = `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`;
    await connection.write(new TextEncoder().encode(text));
    const answer = new Uint8Array(1_000);
    return new TextDecoder().decode(answer.subarray(0, await connection.read(answer) ?? 0));
  };
  assertStringIncludes(await get("/healthz", "a b"), "HTTP/1.1 400 Bad Request");
  assertStringIncludes(await get("/healthz", "["), 'The header "host" must be HOST or HOST:PORT');
  assertEquals(lines, []);
  assertStringIncludes(await get("/metrics", "x"), "HTTP/1.1 500 Internal Server Error");
  assertEquals(lines.map((line) => JSON.parse(line).message), ["metrics could not be told"]);
  assertStringIncludes(await get("/healthz", "x"), "SERVING");
});
