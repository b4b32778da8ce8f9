/** A server that was killed, started again on its data folder. */
import { assertEquals, assertRejects } from "@std/assert";
import { ServerError } from "../../src/server/errors.ts";
import { type EventMessage, GrpcClient, longConfig, quickConfig, type RunMessage } from "../support/grpc_client.ts";
import { startTestServer } from "../support/test_server.ts";

/** A server in a process of its own. */
async function spawnServer(dataDir: string): Promise<{ address: string; kill(): Promise<void> }> {
  const script = new URL("../support/server_process.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", script, dataDir];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  return {
    address: new TextDecoder().decode(value).trim(),
    async kill() {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

Deno.test("kill -9 in the middle of a run: the next server goes on with it, and has lost no event", async () => {
  const dataDir = Deno.makeTempDirSync();
  const killed = await spawnServer(dataDir);
  const seen: EventMessage["event"][] = [];
  {
    using client = new GrpcClient(killed.address);
    await client.collect("TrainingService/Train", { config: quickConfig() });
    const config = quickConfig({ epochs: 300, checkpoint_every_steps: 50 });
    const call = client.stream("TrainingService/Train", { config });
    const ended = new Promise((resolve) => call.on("error", resolve));
    await new Promise<void>((resolve) =>
      call.on("data", ({ event }: EventMessage) => {
        seen.push(event);
        if (event.kind === "checkpoint") resolve();
      })
    );
    // Waits in the queue.
    client.stream("TrainingService/Train", { config: quickConfig() }).on("error", () => {});
    while ((await client.unary<{ queued_runs: number }>("CatalogService/GetServerInfo")).queued_runs === 0);
    await killed.kill();
    await ended;
  }
  const next = await startTestServer({ dataDir });
  {
    using client = new GrpcClient(next.address);
    const { run: name } = seen[0];
    const events = (await client.collect<EventMessage>("TrainingService/WatchRun", { name })).map(({ event }) => event);
    assertEquals(events.slice(0, seen.length), seen);
    assertEquals(events.map(({ sequence }) => sequence), events.map((_, index) => index + 1));
    assertEquals(events.at(-1)?.state_changed?.state, "RUN_STATE_SUCCEEDED");
    const images = events.reduce((sum, event) => sum + (event.progress?.metrics.images ?? 0), 0);
    assertEquals(images, 1200 * 64);
    const { runs } = await client.unary<{ runs: RunMessage[] }>("TrainingService/ListRuns");
    assertEquals(runs.map(({ attempt }) => attempt), [1, 2, 1]);
    const last = await client.collect<EventMessage>("TrainingService/WatchRun", { name: runs[0].name });
    assertEquals(last.at(-1)?.event.state_changed?.state, "RUN_STATE_SUCCEEDED");
  }
  await next.stop();
  Deno.removeSync(dataDir, { recursive: true });
});

Deno.test("a start that fails, as on a port that is taken, moves no run", async () => {
  const dataDir = Deno.makeTempDirSync();
  const server = await startTestServer({ dataDir });
  let name = "";
  {
    using client = new GrpcClient(server.address);
    const call = client.stream("TrainingService/Train", { config: longConfig() });
    call.on("error", () => {});
    name = (await new Promise<EventMessage>((resolve) => call.once("data", resolve))).event.run;
  }
  await server.stop();
  await using other = await startTestServer();
  for (let attempt = 0; attempt < 2; attempt++) {
    await assertRejects(() => startTestServer({ dataDir, listen: other.address }), ServerError, "the port is in use");
  }
  const next = await startTestServer({ dataDir });
  {
    using client = new GrpcClient(next.address);
    const { run } = await client.unary<{ run: RunMessage }>("TrainingService/GetRun", { name });
    assertEquals([run.state, run.attempt], ["RUN_STATE_RUNNING", 2]);
  }
  await next.stop();
  Deno.removeSync(dataDir, { recursive: true });
});
