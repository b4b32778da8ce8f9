/**
 * The process that owns the GPU: takes calls on stdin, runs them between each other's steps, answers on stdout. A
 * process and not a thread, because a driver may hang or crash: this way it is killed, or takes itself down, alone.
 */
import { DatasetRegistry } from "../data/mod.ts";
import { GpuDevice } from "../gpu/mod.ts";
import { analyzeCheckpoint } from "./analysis.ts";
import type { EngineContext } from "./context.ts";
import { toEngineError } from "./errors.ts";
import { evaluate } from "./evaluation.ts";
import { Exporter } from "./export.ts";
import { planTraining, sizedFor, trainingMemory } from "./fit.ts";
import { encodeFrame, readFrames } from "./frames.ts";
import { ModelImporter } from "./import.ts";
import { readInitialCheckpoint } from "./initial_checkpoint.ts";
import { InferenceService } from "./inference.ts";
import { EngineError } from "./messages.ts";
import { eventLoopTurn, paced } from "./pace.ts";
import { watchParent } from "./parent_watch.ts";
import {
  BEAT_MS,
  type CallMessage,
  type CallName,
  type Calls,
  type FromWorker,
  type Interruption,
  type ToWorker,
} from "./protocol.ts";
import { train } from "./training.ts";
import { openTuner } from "./tuning.ts";
import { holdEngineLock } from "./worker_lock.ts";

export interface WorkerOptions {
  /** Opens the GPU of a data folder's engine; default: the adapter there is. */
  readonly openDevice?: (dataDir: string) => Promise<GpuDevice>;
}

/** Serves until stdin ends, which is when the engine closes it or is gone. */
export async function serveEngine({ openDevice = GpuDevice.open }: WorkerOptions = {}): Promise<never> {
  // Signals to the whole group of processes, as from a terminal, are the server's to handle.
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => {});
  // Where memory runs out, the system is to end this process rather than the server, which starts another.
  await Deno.writeTextFile("/proc/self/oom_score_adj", "500").catch(() => {});
  await watchParent();
  const server = new CallServer(openDevice);
  for await (const message of readFrames(Deno.stdin.readable)) server.receive(message as ToWorker);
  return killSelf();
}

/** Ends the process without its exit handlers: Mesa's crash while a thread of it is at work. */
function killSelf(): never {
  Deno.kill(Deno.pid, "SIGKILL");
  throw new Error("unreachable");
}

/**
 * Collects the pipelines that a job was the last to use. The collector takes no notice of the hundred MB of compiled
 * code that a network has on software Vulkan: by itself it let them grow by that much a network, to 2.8 GB after 30; asked
 * each time, memory stayed at 0.6 GB from the seventh on.
 */
function freePipelines({ pipelines }: GpuDevice): void {
  if (pipelines.takeDropped() > 0) (globalThis as { gc?: () => void }).gc?.();
}

interface Opened {
  readonly context: EngineContext;
  readonly inference: InferenceService;
  readonly exporter: Exporter;
  readonly importer: ModelImporter;
  readonly lock: Disposable;
}

/** A call under way. */
class RunningCall {
  readonly abort = new AbortController();
  readonly pause = new AbortController();
  #proceed = Promise.withResolvers<void>();

  interrupt(interruption: Interruption): void {
    if (interruption === "pause") return this.pause.abort();
    if (interruption === "abort") this.abort.abort();
    this.#proceed.resolve();
  }

  /** Does something that will be answered by `proceed`, and waits for that, or for the abort. */
  async awaitProceed(ask: () => Promise<void>): Promise<void> {
    this.#proceed = Promise.withResolvers<void>();
    await ask();
    if (!this.abort.signal.aborted) await this.#proceed.promise;
  }
}

class CallServer {
  readonly #openDevice: (dataDir: string) => Promise<GpuDevice>;
  readonly #running = new Map<number, RunningCall>();
  readonly #output = Deno.stdout.writable.getWriter();
  #opened: Opened | undefined;

  constructor(openDevice: (dataDir: string) => Promise<GpuDevice>) {
    this.#openDevice = openDevice;
    setInterval(() => this.#running.size > 0 && this.#post({ alive: true }), BEAT_MS);
  }

  receive(message: ToWorker): void {
    if ("interrupt" in message) this.#running.get(message.id)?.interrupt(message.interrupt);
    else void this.#answer(message);
  }

  async #answer(message: CallMessage): Promise<void> {
    const { id } = message;
    const running = new RunningCall();
    this.#running.set(id, running);
    try {
      const result = await this.#run(message, running);
      await this.#post({ id, result });
    } catch (error) {
      // Whatever a job says of it, a GPU that has failed is why it ended.
      const { kind, message: text } = toEngineError(this.#opened?.context.device.failure ?? error);
      await this.#post({ id, error: { kind, message: text } });
    } finally {
      this.#running.delete(id);
      if (this.#opened) freePipelines(this.#opened.context.device);
    }
  }

  async #run(message: CallMessage, running: RunningCall): Promise<Calls[CallName]["result"]> {
    if (message.call === "open") return await this.#open(message.argument);
    if (!this.#opened) throw new EngineError("internal", "The engine was called before it was opened");
    const { context, inference, exporter, importer } = this.#opened;
    const { signal } = running.abort;
    switch (message.call) {
      case "close":
        return await this.#close(message.id, context.device);
      case "check": {
        const config = message.argument;
        // A run that waits for another will have the memory for itself.
        const dataset = sizedFor(config, await context.datasets.describe(config.dataset));
        const { full } = await planTraining(context, config, { dataset, interlude: paced(signal) });
        await readInitialCheckpoint(context.dataDir, config, full.program.graph);
        return;
      }
      case "memory":
        return await trainingMemory(context, message.argument, paced(signal));
      case "train": {
        for await (const event of train(context, message.argument, { signal, pause: running.pause.signal })) {
          const post = () => this.#post({ id: message.id, event });
          if (event.kind === "checkpointing") await running.awaitProceed(post);
          else await post();
        }
        return;
      }
      case "evaluate":
        for await (const event of evaluate(context, message.argument, signal)) {
          await this.#post({ id: message.id, event });
        }
        return;
      case "describeCheckpoint":
        return await inference.describe(message.argument);
      case "infer":
        return await inference.infer(message.argument, signal);
      case "analyze":
        return await analyzeCheckpoint(context.dataDir, message.argument);
      case "exportModel":
        return await exporter.export(message.argument);
      case "importModel":
        return await importer.import(message.argument);
    }
  }

  async #open({ dataDir, tune }: Calls["open"]["argument"]): Promise<Calls["open"]["result"]> {
    const lock = await holdEngineLock(dataDir);
    const device = await this.#openDevice(dataDir);
    const datasets = new DatasetRegistry(dataDir);
    const releaseMemory = () => inference.release();
    const tuner = await openTuner(device, { dataDir, tune, warn: (warning) => void this.#post({ warning }) });
    const context: EngineContext = { device, tuner, datasets, dataDir, releaseMemory };
    const inference = new InferenceService(context);
    const [exporter, importer] = [new Exporter(dataDir), new ModelImporter(context)];
    this.#opened = { context, inference, exporter, importer, lock };
    return device.adapter;
  }

  /** Waits for the jobs to let go and the GPU to be idle. */
  async #close(id: number, device: GpuDevice): Promise<void> {
    for (const [other, { abort }] of this.#running) if (other !== id) abort.abort();
    while (this.#running.size > 1) await eventLoopTurn();
    await device.handle.queue.onSubmittedWorkDone();
    device.destroy();
  }

  /** Settles when the pipe has taken the message, so that a job does not run ahead of a reader that lags behind. */
  async #post(message: FromWorker): Promise<void> {
    try {
      await this.#output.write(encodeFrame(message));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      killSelf();
    }
  }
}

if (import.meta.main) await serveEngine();
