/** Which trained network a command takes: the options --run and --checkpoint, of which one is given. */
import type { Connection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { optional, type OptionValues } from "./options.ts";
import { resolveRun, runNameHelp } from "./run_names.ts";
import { text } from "./values.ts";

export const modelChoiceOptions = {
  run: optional(text("RUN"), `The run whose newest checkpoint to take: ${runNameHelp}`),
  checkpoint: optional(text("FILE"), 'A checkpoint instead, as "runs get" or "models import" shows it'),
};

export type ModelChoice = { readonly case: "run" | "checkpoint"; readonly value: string };

/** @throws {UsageError} both are given, or none */
export async function chosenModel(
  connection: Connection,
  { run, checkpoint }: OptionValues<typeof modelChoiceOptions>,
): Promise<ModelChoice> {
  if (run !== undefined && checkpoint === undefined) return { case: "run", value: await resolveRun(connection, run) };
  if (run === undefined && checkpoint !== undefined) return { case: "checkpoint", value: checkpoint };
  throw new UsageError("Give either --run RUN or --checkpoint FILE");
}
