/** Images a second of whole networks: training steps and inference batches, on random images resident in memory. */
import { ALL_BATCHES } from "../src/engine/batch_feed.ts";
import type { Batch } from "../src/engine/batches.ts";
import { pipelined } from "../src/engine/runner.ts";
import type { TuningOptions } from "../src/engine/tuning.ts";
import { measureMultiplyAdds } from "./ceilings.ts";
import { type Measurement, median, summarise } from "./measure.ts";
import { forwardMultiplyAdds, type NetworkOptions, NetworkSession } from "./network_session.ts";
import { timeByKind, timeStep } from "./step_timeline.ts";
import { GpuTimer } from "./timer.ts";
import { toTraceFile } from "./trace_events.ts";

export interface NetworkBenchOptions extends NetworkOptions, TuningOptions {
  /** Counted runs over all batches. */
  readonly runs: number;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
  /** Where the timeline of one step goes. */
  readonly trace?: string;
  /** Takes what is for people alone. */
  readonly note: (line: string) => void;
}

const WARM_UP_RUNS = 1;
const JAVASCRIPT_STEPS = 5;
/** A training step's convolutions are three of the forward pass's: output, input gradient, weight gradient. */
const FORWARD_PASSES = { train: 3, infer: 1 } as const;

/** Training steps: decode, forward, backward, update. */
export function benchTrain(options: NetworkBenchOptions): AsyncGenerator<Measurement> {
  return benchNetwork("train", options);
}

/** Inference batches: decode, forward, softmax, probabilities read back. */
export function benchInfer(options: NetworkBenchOptions): AsyncGenerator<Measurement> {
  return benchNetwork("infer", options);
}

async function* benchNetwork(benchmark: "train" | "infer", options: NetworkBenchOptions): AsyncGenerator<Measurement> {
  const { model, batchSize, image: { height, width }, precision } = options;
  const name = `${model} batch ${batchSize} ${height}x${width}${precision === "mixed" ? " mixed" : ""}`;
  if (!options.matches(name)) return;
  const session = await NetworkSession.open(options, benchmark);
  const timer = await GpuTimer.create(session.device);
  try {
    const ceiling = await measureMultiplyAdds({ device: session.device, timer, runs: options.runs });
    yield { ...ceiling, benchmark };
    const { imagesPerSecond, waiting, submitsPerStep } = await measureSteps(session, options);
    const javascript = await measureJavaScript(session, options);
    const flops = 2 * FORWARD_PASSES[benchmark] * forwardMultiplyAdds(options);
    yield summarise(imagesPerSecond, {
      benchmark,
      case: name,
      unit: "images/s",
      adapter: session.device.adapter.description,
      details: {
        share_of_ceiling: median(imagesPerSecond) * flops / 1e9 / ceiling.median,
        javascript_ms: median(javascript),
        data_wait_share: median(waiting),
        submits_per_step: submitsPerStep,
        dispatches: session.runner.execution.kernels.length,
      },
    });
    if (options.trace !== undefined) await writeTrace(options.trace, { session, timer, note: options.note });
  } finally {
    timer.destroy();
    session.destroy();
  }
}

/** Steps as a run makes them, some in flight. */
async function measureSteps(session: NetworkSession, { runs, signal }: NetworkBenchOptions) {
  const { queue } = session.device.handle;
  const queueSubmit = queue.submit.bind(queue);
  let [steps, submits] = [0, 0];
  queue.submit = (buffers) => {
    submits++;
    return queueSubmit(buffers);
  };
  const submit = (batch: Batch) => {
    steps++;
    return { runner: session.runner, ticket: session.submit(batch) };
  };
  const imagesPerSecond: number[] = [];
  const waiting: number[] = [];
  for (let run = -WARM_UP_RUNS; run < runs; run++) {
    const started = performance.now();
    let dataWait = 0;
    let images = 0;
    for await (const step of pipelined(session.feed.batches(0, ALL_BATCHES, signal), submit, { signal })) {
      dataWait += step.dataWait;
      images += step.batch.count;
    }
    const seconds = (performance.now() - started) / 1000;
    if (run < 0) continue;
    imagesPerSecond.push(images / seconds);
    waiting.push(dataWait / seconds);
  }
  queue.submit = queueSubmit;
  return { imagesPerSecond, waiting, submitsPerStep: submits / steps };
}

/**
 * Milliseconds of JavaScript a step, from asking for the batch to the queue having taken it. The queue is empty each
 * time: software Vulkan keeps whoever submits waiting while it is at work.
 */
async function measureJavaScript(session: NetworkSession, { signal }: NetworkBenchOptions): Promise<number[]> {
  const times: number[] = [];
  for (let step = 0; step < JAVASCRIPT_STEPS; step++) {
    const started = performance.now();
    for await (const batch of session.feed.batches(0, { start: step, count: 1 }, signal)) {
      const ticket = session.submit(batch);
      times.push(performance.now() - started);
      await session.runner.read(ticket);
    }
  }
  return times;
}

async function writeTrace(
  path: string,
  { session, timer, note }: { session: NetworkSession; timer: GpuTimer; note: (line: string) => void },
): Promise<void> {
  const timeline = await timeStep(session, timer);
  await Deno.writeTextFile(path, JSON.stringify(toTraceFile(timeline)));
  note(`Wrote ${path}: open it at https://ui.perfetto.dev`);
  note(`One step by kind of operation, by ${timeline.clock}:`);
  for (const { kind, milliseconds, share, dispatches } of timeByKind(timeline)) {
    note(
      `${milliseconds.toFixed(3).padStart(10)} ms ${(share * 100).toFixed(1).padStart(5)}%  ${kind} (${dispatches})`,
    );
  }
}
