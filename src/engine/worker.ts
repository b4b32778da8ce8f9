/** The worker that owns the GPU: takes calls, runs them between each other's steps, posts events and results. */
/// <reference lib="deno.worker" />
import { DatasetRegistry } from "../data/mod.ts";
import { GpuDevice } from "../gpu/mod.ts";
import type { EngineContext } from "./context.ts";
import { toEngineError } from "./errors.ts";
import { evaluate } from "./evaluation.ts";
import { exportModel } from "./export.ts";
import { planTraining, trainingMemory } from "./fit.ts";
import { InferenceService } from "./inference.ts";
import { EngineError } from "./messages.ts";
import type { Calls, FromWorker, ToWorker } from "./protocol.ts";
import { eventLoopTurn } from "./runner.ts";
import { train } from "./training.ts";
import { openTuner } from "./tuning.ts";

interface Opened {
  readonly context: EngineContext;
  readonly inference: InferenceService;
}

let opened: Opened | undefined;
const running = new Map<number, AbortController>();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if ("abort" in data) running.get(data.id)?.abort();
  else void answer(data);
};

async function answer(message: Exclude<ToWorker, { abort: true }>): Promise<void> {
  const { id } = message;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const result = await run(message, controller.signal);
    post({ id, result });
  } catch (error) {
    const { kind, message: text } = toEngineError(error);
    post({ id, error: { kind, message: text } });
  } finally {
    running.delete(id);
  }
}

async function run(
  message: Exclude<ToWorker, { abort: true }>,
  signal: AbortSignal,
): Promise<Calls[keyof Calls]["result"]> {
  if (message.call === "open") return await open(message.argument);
  if (!opened) throw new EngineError("internal", "The engine was called before it was opened");
  const { context, inference } = opened;
  switch (message.call) {
    case "close":
      return await close(message.id, context.device);
    case "check": {
      const config = message.argument;
      await planTraining(context, config, await context.datasets.describe(config.dataset));
      return;
    }
    case "memory":
      return trainingMemory(context, message.argument);
    case "train":
      return await postEvents(message.id, train(context, message.argument, signal));
    case "evaluate":
      return await postEvents(message.id, evaluate(context, message.argument, signal));
    case "describeCheckpoint":
      return await inference.describe(message.argument);
    case "infer":
      return await inference.infer(message.argument, signal);
    case "exportModel":
      return await exportModel(context.dataDir, message.argument);
  }
}

async function open({ dataDir, tune }: Calls["open"]["argument"]): Promise<Calls["open"]["result"]> {
  const device = await GpuDevice.open();
  const tuner = await openTuner(device, { dataDir, tune, warn: (warning) => post({ warning }) });
  const context = { device, tuner, datasets: new DatasetRegistry(dataDir), dataDir };
  opened = { context, inference: new InferenceService(context) };
  return device.adapter;
}

/** Waits for the jobs to let go and the GPU to be idle: freeing a driver that is at work crashes the process. */
async function close(id: number, device: GpuDevice): Promise<void> {
  for (const [other, controller] of running) if (other !== id) controller.abort();
  while (running.size > 1) await eventLoopTurn();
  await device.handle.queue.onSubmittedWorkDone();
  device.destroy();
}

async function postEvents(id: number, events: AsyncIterable<Calls["train" | "evaluate"]["event"]>): Promise<void> {
  for await (const event of events) post({ id, event });
}

function post(message: FromWorker): void {
  self.postMessage(message);
}
