/** The ways a user names a run, and what the server calls it. */
import type { Connection } from "./connection.ts";
import { CommandError } from "./errors.ts";

/** For help. */
export const runNameHelp = `"runs/ID", "ID", or "latest" for the newest`;

/**
 * The server's name of the run a user means.
 * @throws {CommandError} for "latest" where there is no run
 */
export async function resolveRun(connection: Connection, given: string): Promise<string> {
  if (given !== "latest") return given.startsWith("runs/") ? given : `runs/${given}`;
  const { runs } = await connection.training.listRuns({ pageSize: 1 }, connection.quick);
  if (runs.length === 0) throw new CommandError(`No run is the latest: ${connection.address} has none yet`);
  return runs[0].name;
}
