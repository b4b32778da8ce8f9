/**
 * Run as a process of its own, to be killed: training runs over the fake engine, without a server. Starts a run if the
 * folder has none, and ends when it has come to its end. Arguments: the folder, the run's configuration.
 */
import { withRuns } from "./training_runs.ts";

const [folder, config] = Deno.args;
await withRuns(async ({ runs, start, events }) => {
  await Deno.stdout.write(new TextEncoder().encode("ready\n"));
  const [run] = runs.list({ limit: 1 }).runs;
  await events(run?.id ?? await start(JSON.parse(config)));
}, { folder, fake: { everyEpoch: true }, runs: { metricsInterval: 5 } })();
