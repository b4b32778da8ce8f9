/** Unary Infer calls a second of so many callers at a time: what batching across calls gives. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { InferenceService, type TrainingService } from "../src/gen/mod.ts";
import { type Measurement, median, randomBytes, summarise } from "./measure.ts";

export interface InferBenchOptions {
  readonly model: string;
  readonly runs: number;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
  readonly adapter: string;
}

/** At once; each asks again when it is answered. */
const CALLERS = [1, 8, 64] as const;
const RUN_MS = 2000;
/** The engine makes a plan for each of these batch sizes when it is first needed. */
const BATCHES = [1, 4, 16, 64];
const IMAGE = { height: 28, width: 28, channels: 1 };

/** Trains the network for a moment, then asks for single digits. */
export async function* benchInferCalls(
  transport: Transport,
  training: Client<typeof TrainingService>,
  options: InferBenchOptions,
): AsyncGenerator<Measurement> {
  const name = (callers: number) => `Infer ${options.model}, ${callers} callers`;
  const wanted = CALLERS.filter((callers) => options.matches(name(callers)));
  if (wanted.length === 0) return;
  const inference = createClient(InferenceService, transport);
  const run = await trainBriefly(training, options.model);
  const source = { source: { case: "run", value: run } } as const;
  const pixels = randomBytes(IMAGE.height * IMAGE.width);
  const image = { content: { case: "raw", value: { ...IMAGE, pixels } } } as const;
  for (const batch of BATCHES) await inference.infer({ source, images: Array.from({ length: batch }, () => image) });
  for (const callers of wanted) {
    const rates: number[] = [];
    const latencies: number[] = [];
    for (let count = 0; count < options.runs && !options.signal.aborted; count++) {
      const times = await callFor(RUN_MS, callers, () => inference.infer({ source, images: [image] }));
      rates.push(times.length / RUN_MS * 1000);
      latencies.push(median(times));
    }
    if (rates.length === 0) return;
    const about = { benchmark: "rpc", case: name(callers), unit: "requests/s", adapter: options.adapter };
    yield summarise(rates, { ...about, details: { latency_ms: median(latencies) } });
  }
}

/** One step on a few images: the weights do not matter. @returns the run's name */
async function trainBriefly(training: Client<typeof TrainingService>, model: string): Promise<string> {
  let run = "";
  const config = { model: { name: model }, dataset: "mnist", batchSize: 16, limitTrain: 16, limitTest: 16 };
  for await (const { event } of training.train({ config })) run = event?.run ?? run;
  return run;
}

/** Milliseconds of each call that was answered within the time. */
async function callFor(milliseconds: number, callers: number, call: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  const caller = async () => {
    while (true) {
      const started = performance.now();
      await call();
      if (performance.now() > end) return;
      times.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return times;
}
