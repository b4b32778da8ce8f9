/** Brings the runs of a plan to their end, one after the other; those that are there already are picked up. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type Run, RunState } from "../../gen/mod.ts";
import type { ClientSession } from "../command.ts";
import type { Connection } from "../connection.ts";
import { readCurve } from "../curves/read_curve.ts";
import { CommandError, InterruptedError } from "../errors.ts";
import { hasEnded, startRun, watchRun } from "../follow_run.ts";
import { RunView, stateName } from "../run_view.ts";
import type { RunOutcome } from "./outcomes.ts";
import type { PlannedRun } from "./plan.ts";

export interface TrainOptions {
  /** Aborted, it ends the training of the plan; the run that goes on does so on the server. */
  readonly signal: AbortSignal;
  /** Called when a run has ended; `isNew`: while it was watched, not before. */
  readonly onOutcome: (outcome: RunOutcome, isNew: boolean) => Promise<void>;
}

/**
 * A run that fails, or that the server does not take, does not keep the others from being trained.
 * @throws {InterruptedError} the signal was aborted
 */
export async function trainPlan(
  session: ClientSession,
  runs: readonly PlannedRun[],
  { signal, onOutcome }: TrainOptions,
): Promise<void> {
  const { connection, output } = session;
  for (const [index, planned] of runs.entries()) {
    let name: string | undefined;
    try {
      signal.throwIfAborted();
      const title = `Run ${index + 1} of ${runs.length}, ${planned.model} with seed ${planned.seed}`;
      const found = await pickUp(connection, planned, signal);
      if (typeof found === "string") {
        output.progress.note(`${title}, is refused: ${found}`);
        await onOutcome({ planned, refusal: found }, true);
        continue;
      }
      name = found.name;
      output.progress.note(`${title}: ${name} is ${stateName(found.state)}`);
      const wasThere = hasEnded(found.state);
      const run = wasThere ? found : await watchToEnd(session, found, signal);
      await onOutcome({ planned, run, curve: await readCurve(connection, run) }, !wasThere);
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new InterruptedError(leftLines(name));
    }
  }
}

/** The server's answers that concern one configuration: others may still be taken. */
const refusals: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.ResourceExhausted,
]);

/** The run of a request id, which is started where it is not there yet; or why the server does not take it. */
async function pickUp(
  connection: Connection,
  { config, requestId }: PlannedRun,
  signal: AbortSignal,
): Promise<Run | string> {
  try {
    for await (const { run: name } of startRun(connection, config, { requestId, signal })) {
      return await readRun(connection, name);
    }
  } catch (error) {
    if (error instanceof ConnectError && refusals.has(error.code)) return error.rawMessage;
    throw error;
  }
  throw new CommandError("The server ended the stream before the run began");
}

async function watchToEnd(session: ClientSession, found: Run, signal: AbortSignal): Promise<Run> {
  const { connection, output } = session;
  const { name } = found;
  const resume = () => connection.training.resumeRun({ name }, connection.quick);
  // One that is being paused can be resumed when it is.
  const isPausing = found.state === RunState.PAUSING;
  if (found.state === RunState.PAUSED && !found.resumesByItself) await resume();
  const view = new RunView(output, found.config?.epochs);
  const events = watchRun(connection, { name, afterSequence: found.lastSequence }, {
    signal,
    onReconnect: (delayMs) => view.reconnecting(delayMs),
    onMissing: (earliest) => view.missing(earliest),
  });
  for await (const event of events) {
    view.show(event);
    const { kind } = event;
    if (isPausing && kind.case === "stateChanged" && kind.value.state === RunState.PAUSED) await resume();
  }
  output.progress.stop();
  return await readRun(connection, name);
}

async function readRun({ training, quick }: Connection, name: string): Promise<Run> {
  const { run } = await training.getRun({ name }, quick);
  if (run === undefined) throw new CommandError(`The server has no ${name} any more`);
  return run;
}

function leftLines(name: string | undefined): string {
  const again = "  to go on with the table, give the same command again: it takes up what is there";
  if (name === undefined) return ["Interrupted", again].join("\n");
  return [
    `${name} goes on, and starts no other`,
    again,
    `  to watch the run:   ./multistep watch ${name}`,
    `  to cancel it:       ./multistep runs cancel ${name}`,
  ].join("\n");
}
