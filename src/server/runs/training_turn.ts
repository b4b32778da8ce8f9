/** One run's turn on the GPU. */
import { type Engine, EngineError, type EngineErrorKind } from "../../engine/mod.ts";
import { untilAborted } from "../abort.ts";
import type { Log } from "../log.ts";
import type { JobControl } from "./queue.ts";
import { EventRecorder } from "./recorder.ts";
import type { RunLog } from "./run_log.ts";
import { StorageError } from "./storage_error.ts";

/** How a turn ended; the run's state is still that of a run that goes on. */
export type TurnEnd =
  | { readonly kind: "succeeded" | "stopped" }
  /** Asked to; the reason, if something else came to it. */
  | { readonly kind: "paused"; readonly reason?: string }
  /** It went on until now, and cannot as things are; they may be mended. */
  | { readonly kind: "blocked"; readonly reason: string }
  /** What it did or has to keep found no room. */
  | { readonly kind: "no-room"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

export interface TrainingTurnParts {
  readonly engine: Engine;
  readonly runs: RunLog;
  readonly log: Log;
  /** Milliseconds between two log entries of metrics. */
  readonly metricsInterval: number;
  /** Called before a checkpoint is written. */
  readonly beforeCheckpoint: () => void;
}

/** Milliseconds that the engine has to replace its worker after a fault. */
const replacementPatience = 60_000;

/**
 * What a run that had begun does not bring about itself: its data set is gone, damaged or another one, its checkpoints
 * are of something else, or the machine has less memory or another GPU.
 */
const mendable: ReadonlySet<EngineErrorKind> = new Set(["invalid", "not-found", "damaged", "exhausted", "unsupported"]);

/** Trains a run that is RUNNING, again from its last checkpoint after a fault, until it ends, is paused or stopped. */
export async function takeTurn(parts: TrainingTurnParts, id: string, control: JobControl): Promise<TurnEnd> {
  const recorder = new EventRecorder(parts.runs, id, parts.metricsInterval);
  while (true) {
    try {
      const paused = await trainOnce(parts, { id, recorder }, control);
      if (control.signal.aborted) return { kind: "stopped" };
      return { kind: paused ? "paused" : "succeeded" };
    } catch (error) {
      const end = endAfter(flushed(recorder) ?? error, parts, { id, control });
      if (end) return end;
      await availability(parts.engine, control);
    }
  }
}

/** @returns whether the job paused instead of coming to its end. */
async function trainOnce(
  { engine, runs, beforeCheckpoint }: TrainingTurnParts,
  { id, recorder }: { readonly id: string; readonly recorder: EventRecorder },
  { signal, pause }: JobControl,
): Promise<boolean> {
  const { config, attempt } = runs.get(id);
  let paused = false;
  for await (const event of engine.train({ config, folder: `runs/${id}`, resume: attempt > 1 }, signal, pause)) {
    if (event.kind === "checkpointing") beforeCheckpoint();
    paused = event.kind === "paused";
    recorder.record(event);
  }
  recorder.flush();
  return paused;
}

/** What the log could not take; undefined: it took all. */
function flushed(recorder: EventRecorder): unknown {
  try {
    recorder.flush();
  } catch (error) {
    return error;
  }
}

/** Undefined: the run was taken up again. */
function endAfter(
  error: unknown,
  { runs, log }: TrainingTurnParts,
  { id, control }: { readonly id: string; readonly control: JobControl },
): TurnEnd | undefined {
  if (control.signal.aborted) return { kind: "stopped" };
  if (error instanceof StorageError) return { kind: "no-room", reason: error.message };
  log.error("training ended early", error, { run: id });
  if (!(error instanceof EngineError)) {
    return { kind: "failed", reason: "An internal error; the server's log has it" };
  }
  if (error.kind === "storage") return { kind: "no-room", reason: error.message };
  if (error.kind !== "fault") {
    const hadBegun = runs.get(id).attempt > 1;
    return { kind: hadBegun && mendable.has(error.kind) ? "blocked" : "failed", reason: error.message };
  }
  if (control.pause.aborted) return { kind: "paused", reason: error.message };
  const { retries, config: { maxRetries } } = runs.get(id);
  if (retries >= maxRetries) return { kind: "failed", reason: afterRetries(error.message, maxRetries) };
  const statusMessage = `Taken up again (${retries + 1} of ${maxRetries}) after a fault: ${error.message}`;
  try {
    runs.move(id, { state: "RUNNING", retry: true, statusMessage });
  } catch (storageError) {
    if (!(storageError instanceof StorageError)) throw storageError;
    return { kind: "no-room", reason: storageError.message };
  }
}

function afterRetries(message: string, retries: number): string {
  return retries === 0 ? message : `${message} (after ${retries} ${retries === 1 ? "retry" : "retries"})`;
}

/** Waits until the engine has replaced its worker, or the job is told to end; in vain, training again says why. */
async function availability(engine: Engine, { signal, pause }: JobControl): Promise<void> {
  if (engine.available) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  using _listening = engine.onAvailability((available) => available && resolve());
  const timer = setTimeout(resolve, replacementPatience);
  await untilAborted(promise, AbortSignal.any([signal, pause])).catch(() => {});
  clearTimeout(timer);
}
