/** Calls to a server: latency when it is idle and while a run trains at full speed, and inference by many callers. */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { LocalCommands, TuneMode } from "../src/cli/mod.ts";
import { CatalogService, TrainingService } from "../src/gen/mod.ts";
import { type Measurement, summarise } from "./measure.ts";
import { benchInferCalls } from "./rpc_infer.ts";

export interface RpcBenchOptions {
  readonly model: string;
  readonly batchSize: number;
  readonly runs: number;
  readonly tune: TuneMode;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
  readonly serve: LocalCommands["serve"];
}

const CALLS_A_RUN = 200;
const PAUSE_MS = 20;

/**
 * Milliseconds of GetServerInfo, a call every 20 ms: the median and the 99th percentile of each run of calls. Then Infer
 * calls a second.
 */
export async function* benchRpc(options: RpcBenchOptions): AsyncGenerator<Measurement> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-bench-" });
  const server = await options.serve({
    listen: "127.0.0.1:0",
    dataDir,
    importFolders: [],
    tune: options.tune,
    log: () => {},
  });
  try {
    const transport = createGrpcTransport({ baseUrl: `http://${server.address}` });
    const catalog = createClient(CatalogService, transport);
    const training = createClient(TrainingService, transport);
    const { adapter } = await catalog.getServerInfo({});
    const about = { benchmark: "rpc", unit: "ms", adapter: adapter?.description ?? "" };
    const measureCalls = async function* (state: string): AsyncGenerator<Measurement> {
      const medians: number[] = [];
      const tails: number[] = [];
      for (let run = 0; run < options.runs && !options.signal.aborted; run++) {
        const times = await timeCalls(() => catalog.getServerInfo({}));
        medians.push(times[Math.floor(times.length / 2)]);
        tails.push(times[Math.floor(times.length * 0.99)]);
      }
      if (medians.length === 0) return;
      yield summarise(medians, { ...about, case: `GetServerInfo p50, ${state}` });
      yield summarise(tails, { ...about, case: `GetServerInfo p99, ${state}` });
    };
    if (options.matches("idle")) yield* measureCalls("idle");
    yield* benchInferCalls(transport, training, { ...options, adapter: about.adapter });
    const busy = `while ${options.model} trains`;
    if (!options.matches(busy)) return;
    const leave = new AbortController();
    const config = { model: { name: options.model }, dataset: "mnist", epochs: 1000, batchSize: options.batchSize };
    const events = training.train({ config }, { signal: leave.signal });
    let name = "";
    for await (const { event } of events) {
      name = event?.run ?? "";
      if (event?.kind.case === "progress") break;
    }
    yield* measureCalls(busy);
    await training.cancelRun({ name });
    leave.abort();
  } finally {
    await server.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** Sorted times of the calls, in milliseconds. */
async function timeCalls(call: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < CALLS_A_RUN; i++) {
    const started = performance.now();
    await call();
    times.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return times.sort((a, b) => a - b);
}
