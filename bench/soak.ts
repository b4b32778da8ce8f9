/**
 * What takes too long for the tests:
 *
 *   ./multistep deno run --allow-all bench/soak.ts kills [N]
 *   ./multistep deno run --allow-all bench/soak.ts watchers [SECONDS]
 *
 * kills: a run on a real server that is killed N times (default 50), against the same run never killed.
 * watchers: 1,000 of them on one run for some time (default 300 s), over 20 connections; 100 never read, 100 are cut
 * off every 10 s and come back.
 *
 * One JSON object a line; exits with 1 where something was not as it should be.
 */
import { killRuns } from "./kills.ts";
import { soakWatchers } from "./watchers.ts";

const MOST_GROWTH = 200 * 2 ** 20;
const LEAST_SPEED = 0.9;

const [command, count] = Deno.args;

switch (command) {
  case "kills":
    Deno.exit(await soakKills(Number(count ?? 50)));
    break;
  case "watchers":
    Deno.exit(await watch(Number(count ?? 300)));
    break;
  default:
    tell({ error: `There is no soak "${command ?? ""}": kills, watchers` });
    Deno.exit(2);
}

async function soakKills(kills: number): Promise<number> {
  const started = performance.now();
  const onKill = (kill: Record<string, number>) => tell({ soak: "kills", ...kill });
  // Some six steps between two kills.
  const report = await killRuns({ kills, epochs: kills + 2, onKill });
  tell({ soak: "kills", ...report, seconds: Math.round((performance.now() - started) / 1000) });
  return report.problems.length > 0 ? 1 : 0;
}

async function watch(seconds: number): Promise<number> {
  const report = await soakWatchers({ watchers: 1000, connections: 20, seconds });
  tell({ soak: "watchers", seconds, ...report, problems: report.problems.slice(0, 20) });
  const isGood = report.problems.length === 0 && report.server_growth < MOST_GROWTH;
  return isGood && report.speed_ratio > LEAST_SPEED ? 0 : 1;
}

function tell(values: Record<string, unknown>): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(values)}\n`));
}
