/**
 * Watchers of one training run by the hundred, over raw HTTP/2 so that they cost little: most read, some never do, some
 * lose their connection and come back. What each reads must be every event, once.
 */
import http2 from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { TrainingService, WatchRunRequestSchema, WatchRunResponseSchema } from "../src/gen/mod.ts";
import { spawnServer } from "./server_process.ts";

export interface WatchersOptions {
  readonly watchers: number;
  readonly connections: number;
  /** With watchers; a part of it is measured before and after, without. */
  readonly seconds: number;
}

export interface WatchersReport {
  readonly watchers: number;
  readonly events_read: number;
  readonly reconnections: number;
  /** Bytes that the server's process grew by, from before the watchers to its largest with them. */
  readonly server_growth: number;
  readonly worker_growth: number;
  /** Steps a second with watchers, of those without. */
  readonly speed_ratio: number;
  /** Seconds of processor time a second: of the server, its worker, and the watchers, which share the machine. */
  readonly processors: { readonly server: number; readonly worker: number; readonly watchers: number };
  readonly problems: readonly string[];
}

/** Of all watchers: those that never read, and those that are cut off now and then. */
const SHARE_OF_DEAF = 0.1;
const SHARE_OF_CUT = 0.1;
const CUT_EVERY_MS = 10_000;
const QUIET_SECONDS = 20;
const SAMPLE_MS = 1_000;

export async function soakWatchers(options: WatchersOptions): Promise<WatchersReport> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-watchers-" });
  const server = await spawnServer(dataDir);
  try {
    const training = createClient(TrainingService, createGrpcTransport({ baseUrl: `http://${server.address}` }));
    const run = await startRun(training);
    const stepsNow = async () => (await training.getRun({ name: run })).run?.progress?.step ?? 0;
    const speedOver = async (seconds: number) => {
      const [step, started] = [await stepsNow(), performance.now()];
      await sleep(seconds * 1000);
      return (await stepsNow() - step) / (performance.now() - started) * 1000;
    };
    const before = await speedOver(QUIET_SECONDS);
    const processes = { server: server.pid, worker: workerOf(dataDir), watchers: Deno.pid };
    const memory = new MemoryRecord(processes);
    const crowd = new Crowd(server.address, run, options);
    const times = processorTimes(processes);
    const during = await speedOver(options.seconds);
    const spent = processorTimes(processes);
    memory.stop();
    crowd.leave();
    const after = await speedOver(QUIET_SECONDS);
    const last = (await training.getRun({ name: run })).run?.lastSequence ?? 0;
    return {
      ...crowd.report(last),
      watchers: options.watchers,
      server_growth: memory.growth.server,
      worker_growth: memory.growth.worker,
      speed_ratio: during / ((before + after) / 2),
      processors: {
        server: (spent.server - times.server) / options.seconds,
        worker: (spent.worker - times.worker) / options.seconds,
        watchers: (spent.watchers - times.watchers) / options.seconds,
      },
    };
  } finally {
    await server.kill();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function startRun(training: ReturnType<typeof createClient<typeof TrainingService>>): Promise<string> {
  const leave = new AbortController();
  const config = {
    model: { name: "lm-resnet-8" },
    dataset: "mnist",
    epochs: 100_000,
    batchSize: 32,
    limitTrain: 1024,
    limitTest: 32,
    evaluateEveryEpochs: 0,
    optimizer: { learningRate: 0.001 },
  };
  for await (const { event } of training.train({ config }, { signal: leave.signal })) {
    if (event?.kind.case !== "progress") continue;
    return event.run;
  }
  throw new Error("The run ended before its first step");
}

/** All watchers of a run. */
class Crowd {
  readonly #address: string;
  readonly #run: string;
  readonly #sessions: http2.ClientHttp2Session[] = [];
  readonly #watchers: Watcher[] = [];
  readonly #problems: string[] = [];
  readonly #cutter: ReturnType<typeof setInterval>;
  #reconnections = 0;

  constructor(address: string, run: string, { watchers, connections }: WatchersOptions) {
    this.#address = address;
    this.#run = run;
    const perConnection = watchers / connections;
    const deaf = Math.round(connections * SHARE_OF_DEAF);
    const cut = Math.round(connections * SHARE_OF_CUT);
    for (let i = 0; i < connections; i++) {
      const group = Array.from({ length: perConnection }, () => new Watcher(i >= deaf, this.#problems));
      this.#watchers.push(...group);
      this.#connect(i, group);
    }
    this.#cutter = setInterval(() => {
      for (let i = deaf; i < deaf + cut; i++) {
        this.#reconnections += perConnection;
        this.#sessions[i].destroy();
        this.#connect(i, this.#watchers.slice(i * perConnection, (i + 1) * perConnection));
      }
    }, CUT_EVERY_MS);
  }

  leave(): void {
    clearInterval(this.#cutter);
    for (const session of this.#sessions) session.destroy();
  }

  report(lastSequence: number): Pick<WatchersReport, "events_read" | "reconnections" | "problems"> {
    const reading = this.#watchers.filter(({ reads }) => reads);
    const slowest = Math.min(...reading.map(({ sequence }) => sequence));
    // They left some seconds before the last event; each is told every quarter second.
    if (slowest < lastSequence * 0.5) this.#problems.push(`A watcher is at event ${slowest} of ${lastSequence}`);
    return {
      events_read: reading.reduce((sum, { sequence }) => sum + sequence, 0),
      reconnections: this.#reconnections,
      problems: this.#problems,
    };
  }

  #connect(index: number, group: readonly Watcher[]): void {
    const session = http2.connect(`http://${this.#address}`);
    session.on("error", (error) => this.#problems.push(`A connection failed: ${error.message}`));
    this.#sessions[index] = session;
    for (const watcher of group) watcher.watch(session, this.#run);
  }
}

/** One stream at a time; goes on after the last event that it has read. */
class Watcher {
  sequence = 0;

  constructor(readonly reads: boolean, readonly problems: string[]) {}

  watch(session: http2.ClientHttp2Session, run: string): void {
    const stream = session.request({
      ":method": "POST",
      ":path": `/${TrainingService.typeName}/WatchRun`,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    stream.on("error", () => {});
    const request = create(WatchRunRequestSchema, { name: run, afterSequence: this.sequence });
    stream.end(framed(toBinary(WatchRunRequestSchema, request)));
    if (!this.reads) return;
    let rest = new Uint8Array();
    stream.on("data", (chunk: Uint8Array) => rest = this.#read(joined(rest, chunk)));
    stream.on("trailers", (trailers) => {
      this.problems.push(`A watcher at event ${this.sequence} was told ${trailers["grpc-status"]}`);
    });
  }

  /** @returns what is left of the bytes after the last whole message */
  #read(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    let at = 0;
    while (bytes.length - at >= 5) {
      const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(1);
      if (bytes.length - at - 5 < length) break;
      const { event } = fromBinary(WatchRunResponseSchema, bytes.subarray(at + 5, at + 5 + length));
      if (event && event.sequence !== this.sequence + 1) {
        this.problems.push(`Event ${event.sequence} follows event ${this.sequence}`);
      }
      if (event) this.sequence = event.sequence;
      at += 5 + length;
    }
    return bytes.slice(at);
  }
}

/** A gRPC message: not compressed, its length, itself. */
function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  return frame;
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

interface Processes {
  readonly server: number;
  readonly worker: number;
}

/** The most memory that processes took, against what they took at first. */
class MemoryRecord {
  readonly growth = { server: 0, worker: 0 };
  readonly #timer: ReturnType<typeof setInterval>;

  constructor({ server, worker }: Processes) {
    const first = { server: residentBytes(server), worker: residentBytes(worker) };
    this.#timer = setInterval(() => {
      this.growth.server = Math.max(this.growth.server, residentBytes(server) - first.server);
      this.growth.worker = Math.max(this.growth.worker, residentBytes(worker) - first.worker);
    }, SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s*(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) * 1024;
}

/** Seconds of processor time that each process has had. */
function processorTimes<Name extends string>(pids: Readonly<Record<Name, number>>): Record<Name, number> {
  const times = Object.entries<number>(pids).map(([name, pid]) => {
    // After the name in brackets: utime and stime are the 12th and 13th, in hundredths of a second.
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /, "").split(" ");
    return [name, (Number(fields[11]) + Number(fields[12])) / 100];
  });
  return Object.fromEntries(times);
}

function workerOf(dataDir: string): number {
  return Number(Deno.readTextFileSync(`${dataDir}/engine.lock`));
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
