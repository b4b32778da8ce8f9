/** What `train` and `watch` share: showing a run until it ends or the user leaves. */
import type { RunEvent } from "../gen/mod.ts";
import { RunState } from "../gen/mod.ts";
import type { ClientSession } from "./command.ts";
import { CommandError, InterruptedError } from "./errors.ts";
import type { FollowOptions } from "./follow_run.ts";
import { runSummaryJson, runSummaryLine, RunView } from "./run_view.ts";

interface Following {
  readonly totalEpochs?: number;
  /** Known from the beginning where the run is there already. */
  readonly run?: string;
}

/** Shows the events that `open` gives, then what became of the run. Resolves to the exit code. */
export async function showRun(
  { context, connection, output }: ClientSession,
  open: (options: FollowOptions) => AsyncIterable<RunEvent>,
  { totalEpochs, run }: Following = {},
): Promise<number> {
  const view = new RunView(output, totalEpochs);
  const interruption = new AbortController();
  const removeHandler = context.onInterrupt(() => interruption.abort());
  let name = run;
  try {
    const events = open({
      signal: interruption.signal,
      onReconnect: (delayMs) => view.reconnecting(delayMs),
      onMissing: (earliest) => view.missing(earliest),
    });
    for await (const event of events) {
      name = event.run;
      view.show(event);
    }
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    throw new InterruptedError(name === undefined ? undefined : leftLines(name));
  } finally {
    removeHandler();
  }
  output.progress.stop();
  if (name === undefined) throw new CommandError("The server ended the stream before the run began");
  const ended = (await connection.training.getRun({ name }, connection.quick)).run;
  if (ended === undefined) throw new CommandError(`The server has no ${name} any more`);
  output.object(runSummaryJson(ended));
  output.lines(runSummaryLine(ended));
  return ended.state === RunState.SUCCEEDED ? 0 : 1;
}

function leftLines(name: string): string {
  return [
    `${name} goes on`,
    `  to watch it:   ./multistep watch ${name}`,
    `  to cancel it:  ./multistep runs cancel ${name}`,
  ].join("\n");
}
