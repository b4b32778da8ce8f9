/**
 * A server under storm, in a process of its own over an engine without a GPU; one JSON object a line for each part.
 *
 *   ./multistep deno run -A bench/storm.ts [channels|chaos|malformed|silent]... [--minutes 5] [--count 10000] [--seed 1]
 *
 * channels: 300 concurrent calls and a closed channel, 100 times. chaos: cancellations, deadlines, resets and cut
 * connections at random. malformed: requests of ill will. silent: 100 watchers that never read, one run with much to
 * tell. What the server has open is counted before and after each part; a part that leaves something fails.
 */
import http2 from "node:http2";
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchRunRequestSchema } from "../src/gen/mod.ts";
import { type EventMessage, GrpcClient, longConfig, quickConfig } from "../tests/support/grpc_client.ts";
import { malformedCases, Random } from "../tests/support/malformed.ts";
import { frame, FrameType, grpcMessage, post, RawConnection } from "../tests/support/raw_http2.ts";

const script = (name: string) => new URL(`../tests/support/${name}`, import.meta.url).pathname;

/** Where the server is. */
interface Target {
  readonly address: string;
  readonly metrics: string;
}

interface StormServer extends Target, AsyncDisposable {}

/** What the server has open, and its resident memory in megabytes. */
interface Holdings {
  readonly streams: number;
  readonly connections: number;
  readonly files: number;
  readonly megabytes: number;
  /** Connections since the start; Deno keeps some memory of each. */
  readonly connected: number;
}

async function startServer(...options: string[]): Promise<StormServer> {
  const dataDir = Deno.makeTempDirSync({ prefix: "multistep-storm-" });
  const listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log-level", "error"];
  const args = ["run", "-A", "--no-check", script("serve_process.ts"), "serve", ...listen, "--data-dir", dataDir];
  const command = new Deno.Command(Deno.execPath(), { args: [...args, "--json", ...options], stdout: "piped" });
  const child = command.spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const { address, metrics_address: metrics } = JSON.parse(value ?? "") as Record<string, string>;
  return {
    address,
    metrics,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const { code } = await child.status;
      await reader.cancel();
      Deno.removeSync(dataDir, { recursive: true });
      if (code !== 0) throw new Error(`The server ended with ${code}`);
    },
  };
}

async function holdings({ metrics }: Target): Promise<Holdings> {
  const page = await (await fetch(`http://${metrics}/metrics`)).text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(page)?.[1]);
  return {
    streams: read("multistep_streams_open"),
    connections: read("multistep_connections_open"),
    files: read("process_open_fds"),
    megabytes: Math.round(read("process_resident_memory_bytes") / 1e6),
    connected: read("multistep_connections_accepted"),
  };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** @throws where something is left open after the clients are gone. */
async function settled(server: Target, before: Holdings): Promise<Holdings> {
  let now = await holdings(server);
  for (let tries = 0; tries < 100; tries++) {
    // The connection of the metrics' reader itself is among the files.
    if (now.streams === 0 && now.connections === 0 && now.files <= before.files + 1) return now;
    await pause(100);
    now = await holdings(server);
  }
  throw new Error(`Left open: ${JSON.stringify(now)}, before: ${JSON.stringify(before)}`);
}

interface Settings {
  readonly minutes: number;
  readonly count: number;
  readonly seed: number;
}

async function channels(server: Target): Promise<object> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script("storm_client.ts"), server.address, "100"],
  });
  const { code, stderr } = await command.output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return { rounds: 100, calls: 30_000 };
}

/** Every client does something rude, at random, again and again. */
async function chaos(server: Target, { minutes, seed }: Settings): Promise<object> {
  const random = new Random(seed);
  using starter = new GrpcClient(server.address);
  const run = await startRun(starter);
  const done = { cancelled: 0, timedOut: 0, cut: 0, answered: 0 };
  const end = performance.now() + minutes * 60_000;
  const actions = [
    async (client: GrpcClient) => {
      const call = client.stream("TrainingService/WatchRun", { name: run });
      call.on("error", () => {}).on("data", () => {});
      await pause(random.below(50));
      call.cancel();
      done.cancelled++;
    },
    async (client: GrpcClient) => {
      const deadline = Date.now() + random.below(30);
      await client.collect("TrainingService/WatchRun", { name: run }, { deadline }).catch(() => {});
      done.timedOut++;
    },
    async (client: GrpcClient) => {
      await client.unary("TrainingService/ListRuns");
      done.answered++;
    },
    async () => {
      const connection = new RawConnection(server.address);
      connection.begin();
      const message = toBinary(WatchRunRequestSchema, create(WatchRunRequestSchema, { name: run }));
      for (let id = 1; id < 2 + random.below(20); id += 2) {
        connection.send(post(id, "/multistep.v1.TrainingService/WatchRun"));
        connection.send(frame(FrameType.data, { flags: 1, stream: id, payload: grpcMessage(message) }));
        if (random.below(2) === 0) {
          connection.send(frame(FrameType.resetStream, { stream: id, payload: new Uint8Array(4) }));
        }
      }
      await pause(random.below(30));
      connection[Symbol.dispose]();
      done.cut++;
    },
  ];
  const work = async () => {
    while (performance.now() < end) {
      const client = new GrpcClient(server.address);
      const together = Array.from({ length: 1 + random.below(20) }, () => random.pick(actions)(client));
      await Promise.all(together).catch(() => {});
      client[Symbol.dispose]();
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  await starter.unary("TrainingService/CancelRun", { name: run });
  return done;
}

async function startRun(client: GrpcClient): Promise<string> {
  const call = client.stream("TrainingService/Train", { config: longConfig() });
  call.on("error", () => {});
  const { event } = await new Promise<EventMessage>((resolve) => call.once("data", resolve));
  call.cancel();
  return event.run;
}

async function malformed(server: Target, { count, seed }: Settings): Promise<object> {
  const cases = malformedCases(seed);
  const outcomes: Record<string, number> = {};
  let left = count;
  const work = async () => {
    while (left-- > 0) {
      const { value } = cases.next();
      const outcome = await value.send(server.address);
      const name = "status" in outcome ? `${outcome.kind} ${outcome.status}` : outcome.kind;
      outcomes[name] = (outcomes[name] ?? 0) + 1;
      const unclean = outcome.kind === "grpc" && outcome.message.includes("An internal error");
      if (outcome.kind === "hangs" || unclean) throw new Error(`${value.kind}: ${JSON.stringify(outcome)}`);
    }
  };
  await Promise.all(Array.from({ length: 20 }, work));
  return { count, outcomes };
}

/** Half of the watchers leave their windows shut, half their connections unread; each could be told megabytes. */
async function silent(server: Target, { minutes }: Settings): Promise<object> {
  using client = new GrpcClient(server.address);
  const [{ event }] = await client.collect<EventMessage>("TrainingService/Train", {
    config: quickConfig({ epochs: 1_000 }),
  });
  const running = await startRun(client);
  const before = await holdings(server);
  const names = [event.run, running];
  const sessions = Array.from({ length: 50 }, (_, index) => {
    const session = http2.connect(`http://${server.address}`);
    session.on("error", () => {});
    const message = toBinary(WatchRunRequestSchema, create(WatchRunRequestSchema, { name: names[index % 2] }));
    const headers = { ":method": "POST", ":path": "/multistep.v1.TrainingService/WatchRun", te: "trailers" };
    const stream = session.request({ ...headers, "content-type": "application/grpc" });
    stream.on("error", () => {}).pause();
    stream.end(grpcMessage(message));
    return session;
  });
  const connections = Array.from({ length: 50 }, (_, index) => {
    const connection = new RawConnection(server.address);
    const message = toBinary(WatchRunRequestSchema, create(WatchRunRequestSchema, { name: names[index % 2] }));
    connection.begin();
    connection.send(post(1, "/multistep.v1.TrainingService/WatchRun"));
    connection.send(frame(FrameType.data, { flags: 1, stream: 1, payload: grpcMessage(message) }));
    connection.pause();
    return connection;
  });
  const memory: number[] = [];
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) {
    await pause(Math.min(10_000, minutes * 6_000));
    memory.push((await holdings(server)).megabytes);
  }
  for (const session of sessions) session.destroy();
  for (const connection of connections) connection[Symbol.dispose]();
  await client.unary("TrainingService/CancelRun", { name: running });
  return { watchers: 100, megabytes_before: before.megabytes, megabytes: memory };
}

const parts = { channels, chaos, malformed, silent };
type Part = keyof typeof parts;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "5" },
    count: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    // Given to the process of the clients: what they leave open ends with it, so that what is left is the server's.
    address: { type: "string" },
    metrics: { type: "string" },
  },
});
const { address, metrics, minutes, count, seed } = values;

function print(value: object): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}

/** The clients, in a process of their own. */
async function runClients(part: Part, target: Target): Promise<object> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", import.meta.filename ?? "", part, "--address", target.address],
      ...["--metrics", target.metrics, "--minutes", minutes, "--count", count, "--seed", seed],
    ],
    stderr: "inherit",
  });
  const { success, stdout } = await command.output();
  if (!success) throw new Error(`The clients of ${part} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function storm(part: Part): Promise<void> {
  const strict = ["--max-message", "1", "--request-timeout", "1"];
  await using server = await startServer(...part === "malformed" ? strict : []);
  const before = await holdings(server);
  const began = performance.now();
  const result = await runClients(part, server);
  const seconds = Math.round((performance.now() - began) / 1000);
  print({ part, seconds, ...result, before, after: await settled(server, before) });
}

for (const part of positionals.length > 0 ? positionals : Object.keys(parts)) {
  if (!isPart(part)) throw new Error(`There is no part "${part}": there are ${Object.keys(parts).join(", ")}`);
  if (address === undefined || metrics === undefined) await storm(part);
  else {
    const settings = { minutes: Number(minutes), count: Number(count), seed: Number(seed) };
    print(await parts[part]({ address, metrics }, settings));
    Deno.exit(0);
  }
}

function isPart(name: string): name is Part {
  return name in parts;
}
