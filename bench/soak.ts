/**
 * What takes too long for the tests:
 *
 *   ./multistep deno run --allow-all bench/soak.ts kills [N]
 *
 * kills: a run on a real server that is killed N times (default 50), against the same run never killed.
 *
 * One JSON object a line; exits with 1 where something was not as it should be.
 */
import { killRuns } from "./kills.ts";

const [command, ...rest] = Deno.args;

switch (command) {
  case "kills":
    Deno.exit(await soakKills(Number(rest[0] ?? 50)));
    break;
  default:
    tell({ error: `There is no soak "${command ?? ""}": kills` });
    Deno.exit(2);
}

async function soakKills(kills: number): Promise<number> {
  const started = performance.now();
  // Some six steps between two kills.
  const onKill = (kill: Record<string, number>) => tell({ soak: "kills", ...kill });
  const report = await killRuns({ kills, epochs: kills + 2, onKill });
  tell({ soak: "kills", ...report, seconds: Math.round((performance.now() - started) / 1000) });
  return report.problems.length > 0 ? 1 : 0;
}

function tell(values: Record<string, unknown>): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(values)}\n`));
}
