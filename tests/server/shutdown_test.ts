/** The end of a server: told by a signal to a real process, or by close(). */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ServerError } from "../../src/server/errors.ts";
import { brokenSeeds } from "../support/fake_engine.ts";
import { type EventMessage, GrpcClient, longConfig, Status } from "../support/grpc_client.ts";
import { startTestServer } from "../support/test_server.ts";
import { until } from "../support/until.ts";

interface ServeProcess extends AsyncDisposable {
  readonly address: string;
  readonly dataDir: string;
  readonly child: Deno.ChildProcess;
  /** What it wrote to stderr. */
  log(): string;
}

/** `serve` in a process of its own, over an engine without a GPU. */
async function startServe(...options: string[]): Promise<ServeProcess> {
  const dataDir = Deno.makeTempDirSync();
  const script = new URL("../support/serve_process.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", script, "serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir, "--json"];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, ...options],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let log = "";
  const logged = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) log += text;
  })();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const { address } = JSON.parse(value ?? "{}") as { address: string };
  return {
    address,
    dataDir,
    child,
    log: () => log,
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
      await reader.cancel();
      await logged;
      Deno.removeSync(dataDir, { recursive: true });
    },
  };
}

/** A run that goes on, watched. @returns what its stream ended with */
async function watchLongRun(client: GrpcClient): Promise<{ ended: Promise<{ code: number; details: string }> }> {
  const call = client.stream("TrainingService/Train", { config: longConfig() });
  const ended = new Promise<{ code: number; details: string }>((resolve) =>
    call.on("error", resolve).on("end", () => resolve({ code: 0, details: "" }))
  );
  await new Promise<void>((resolve) =>
    call.on("data", ({ event }: EventMessage) => {
      if (event.kind === "progress") resolve();
    })
  );
  return { ended };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends the server in order: health tells, streams end with the reason, exit code 0`, async () => {
    await using server = await startServe();
    using client = new GrpcClient(server.address);
    const train = await watchLongRun(client);
    const health = client.stream("grpc.health.v1.Health/Watch");
    const states: string[] = [];
    const healthEnded = new Promise<{ code: number; details: string }>((resolve) =>
      health.on("data", (answer: { status: string }) => states.push(answer.status)).on("error", resolve)
    );
    await until(() => states.length > 0);
    const began = performance.now();
    server.child.kill(signal);
    const { code } = await server.child.status;
    assert(performance.now() - began < 10_000);
    assertEquals([code, states], [0, ["SERVING", "NOT_SERVING"]]);
    const { code: status, details } = await healthEnded;
    assertEquals([Status[status], details], ["UNAVAILABLE", "The server is shutting down"]);
    await train.ended;
    assertStringIncludes(server.log(), '"message":"server stopped"');
  });
}

Deno.test("a second signal ends the server at once, and the exit code tells", async () => {
  await using server = await startServe();
  using client = new GrpcClient(server.address);
  const call = client.stream("TrainingService/Train", { config: longConfig({ seed: brokenSeeds.stubborn }) });
  call.on("error", () => {});
  await new Promise((resolve) => call.once("data", resolve));
  server.child.kill("SIGTERM");
  await until(() => server.log().includes("server stops"));
  const began = performance.now();
  server.child.kill("SIGTERM");
  assertEquals((await server.child.status).code, 130);
  assert(performance.now() - began < 2_000);
});

Deno.test("what does not stop is left behind after the shutdown timeout, and the exit code tells", async () => {
  await using server = await startServe("--shutdown-timeout", "1");
  using client = new GrpcClient(server.address);
  const call = client.stream("TrainingService/Train", { config: longConfig({ seed: brokenSeeds.stubborn }) });
  call.on("error", () => {});
  await new Promise((resolve) => call.once("data", resolve));
  const began = performance.now();
  server.child.kill("SIGTERM");
  assertEquals((await server.child.status).code, 1);
  const lasted = performance.now() - began;
  assert(lasted > 900 && lasted < 4_000, `${lasted} ms`);
  await until(() => server.log().includes("The server did not stop within 1 s"), "the reason");
});

Deno.test("close() rejects when the engine does not end in time", async () => {
  const server = await startTestServer({ shutdownTimeout: 200 });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.engine.close = () => promise;
  await assertRejects(() => server.stop(), ServerError, "The server did not stop within 0.2 s");
  resolve();
  await new Promise((done) => setTimeout(done, 50));
  Deno.removeSync(server.dataDir, { recursive: true });
});

Deno.test("a server that stops takes no new connections and no new calls, but ends those under way", async () => {
  await using server = await startTestServer({ fake: { inferenceTime: 300 } });
  using client = new GrpcClient(server.address);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", {
    config: { model: { name: "lm-resnet-20" }, dataset: "digits" },
  });
  const image = { raw: { height: 4, width: 4, channels: 1, pixels: new Uint8Array(16) } };
  const { promise: started, resolve } = Promise.withResolvers<void>();
  const infer = server.engine.infer.bind(server.engine);
  server.engine.infer = (job, signal) => {
    resolve();
    return infer(job, signal);
  };
  const call = client.unary("InferenceService/Infer", { source: { run: event.run }, images: [image] }).then(
    () => "answered",
    ({ code }: { code: number }) => Status[code],
  );
  await started;
  await server.stop();
  assert(["answered", "UNAVAILABLE"].includes(await call));
  using late = new GrpcClient(server.address);
  const refused = await late.unary("CatalogService/GetServerInfo").catch(({ code }: { code: number }) => Status[code]);
  assertEquals(refused, "UNAVAILABLE");
});
