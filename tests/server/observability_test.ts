/** What those who run a server see of it: logs with ids, metrics, health. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { Log } from "../../src/server/log.ts";
import { ServerError } from "../../src/server/errors.ts";
import { type EventMessage, GrpcClient, longConfig, quickConfig } from "../support/grpc_client.ts";
import { startTestServer, type TestServer } from "../support/test_server.ts";
import { until } from "../support/until.ts";

const metricsListen = "127.0.0.1:0";

async function readMetrics({ metricsAddress }: TestServer): Promise<Map<string, number>> {
  const response = await fetch(`http://${metricsAddress}/metrics`);
  assertStringIncludes(response.headers.get("content-type") ?? "", "text/plain; version=");
  const lines = (await response.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const at = line.lastIndexOf(" ");
    return [line.slice(0, at), Number(line.slice(at + 1))];
  }));
}

Deno.test("metrics tell of calls, runs, training, inference, connections and the process", async () => {
  await using server = await startTestServer({ metricsListen });
  using client = new GrpcClient(server.address);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  const image = { raw: { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16) } };
  await client.unary("InferenceService/Infer", { source: { run: event.run }, images: [image, image] });
  await client.unary("TrainingService/GetRun", { name: "runs/none" }).catch(() => {});
  await until(async () => (await readMetrics(server)).get("multistep_streams_open") === 0);
  const metrics = await readMetrics(server);
  const service = "/multistep.v1.";
  const count = (method: string, code: string) =>
    metrics.get(`multistep_rpc_calls_total{method="${service}${method}",code="${code}"}`);
  assertEquals(count("TrainingService/Train", "ok"), 1);
  assertEquals(count("TrainingService/GetRun", "not_found"), 1);
  assertEquals(
    metrics.get(`multistep_rpc_duration_seconds_count{method="${service}InferenceService/Infer"}`),
    1,
  );
  assertEquals(metrics.get('multistep_runs{state="SUCCEEDED"}'), 1);
  assertEquals([metrics.get("multistep_runs_queued"), metrics.get("multistep_connections_open")], [0, 1]);
  assert((metrics.get("multistep_training_steps_total") ?? 0) > 0);
  assertEquals(metrics.get("multistep_training_images_per_second"), 0);
  assertEquals(metrics.get("multistep_inference_batches_total"), 1);
  assertEquals(metrics.get("multistep_inference_images_total"), 2);
  assert((metrics.get("process_resident_memory_bytes") ?? 0) > 10e6);
});

Deno.test("metrics tell the GPU memory that the run which trains needs, and its rate", async () => {
  await using server = await startTestServer({ metricsListen });
  using client = new GrpcClient(server.address);
  const call = client.stream("TrainingService/Train", { config: longConfig({ batch_size: 10 }) });
  call.on("error", () => {}).on("data", () => {});
  await until(async () => (await readMetrics(server)).get("multistep_gpu_memory_planned_bytes") === 43);
  await until(async () => (await readMetrics(server)).get("multistep_training_images_per_second") === 100);
  assertEquals((await readMetrics(server)).get('multistep_runs{state="RUNNING"}'), 1);
  call.cancel();
});

Deno.test("unknown methods share one label, so that a scanner cannot fill the memory", async () => {
  await using server = await startTestServer({ metricsListen });
  const { post, RawConnection } = await import("../support/raw_http2.ts");
  using connection = new RawConnection(server.address);
  connection.begin();
  for (let i = 0; i < 20; i++) connection.send(post(2 * i + 1, `/scan/${i}`));
  const label = 'multistep_rpc_calls_total{method="unknown",code="unimplemented"}';
  await until(async () => (await readMetrics(server)).get(label) === 20);
});

Deno.test("/healthz tells whether the server takes calls; other pages are 404", async () => {
  const server = await startTestServer({ metricsListen });
  const get = async (path: string) => {
    const response = await fetch(`http://${server.metricsAddress}${path}`);
    return [response.status, await response.text()];
  };
  assertEquals(await get("/healthz"), [200, "SERVING\n"]);
  assertEquals((await get("/other"))[0], 404);
  const response = await fetch(`http://${server.metricsAddress}/metrics`, { method: "POST" });
  assertEquals([response.status, await response.text()], [405, "Only GET is answered\n"]);
  await server[Symbol.asyncDispose]();
  await assertRejects(() => get("/healthz"), TypeError);
});

Deno.test("metrics listen beyond loopback only where told to", async () => {
  const start = async (options: object) => {
    await using server = await startTestServer({ metricsListen: "0.0.0.0:0", ...options });
    return server.metricsAddress;
  };
  await assertRejects(() => start({}), ServerError, "Cannot serve metrics on 0.0.0.0:0");
  assertMatch((await start({ insecure: true })) ?? "", /^0\.0\.0\.0:\d+$/);
});

Deno.test("a call is logged with its request id, and the answer has it too", async () => {
  await using server = await startTestServer({ logLevel: "debug" });
  using client = new GrpcClient(server.address);
  const call = async (rpc: string, request: object, headers: Record<string, string>) => {
    let echoed = "";
    const onHeaders = (metadata: { get(name: string): unknown[] }) => echoed = String(metadata.get("x-request-id")[0]);
    await client.unary(rpc, request, { headers, onHeaders }).catch((error) => {
      // An answer of trailers alone has it there.
      echoed ||= String(error.metadata.get("x-request-id")[0]);
    });
    return echoed;
  };
  const callLog = (id: string) =>
    server.logs.map((line) => JSON.parse(line)).find((line) => line.message === "call" && line.request_id === id);
  assertEquals(await call("CatalogService/GetServerInfo", {}, { "x-request-id": "mine-1" }), "mine-1");
  await until(() => callLog("mine-1") !== undefined);
  const { level, method, status, seconds } = callLog("mine-1");
  assertEquals([level, method, status], ["debug", "/multistep.v1.CatalogService/GetServerInfo", "ok"]);
  assert(seconds >= 0);
  const made = await call("TrainingService/GetRun", { name: "runs/abc" }, { "x-request-id": "not sane" });
  assertMatch(made, /^[0-9a-f-]{36}$/);
  await until(() => callLog(made) !== undefined);
  assertEquals([callLog(made).status, callLog(made).run], ["not_found", "runs/abc"]);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() }, {
    headers: { "x-request-id": "train" },
  });
  await until(() => callLog("train") !== undefined);
  assertEquals(callLog("train").run, event.run);
});

Deno.test("Log leaves out what is less important than its level", () => {
  const lines: string[] = [];
  const log = new Log((line) => lines.push(JSON.parse(line).message), "warning");
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d", new Error("e"));
  assertEquals(lines, ["c", "d"]);
});
