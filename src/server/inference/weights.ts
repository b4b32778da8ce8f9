/** Which checkpoint a request means. */
import { resolveInside } from "../allowed_paths.ts";
import { RequestError } from "../errors.ts";
import type { TrainingRuns } from "../runs/training_runs.ts";
import type { Source } from "../validation/inference.ts";

export class WeightsFinder {
  /** @param dataDir absolute, symbolic links resolved */
  constructor(private readonly runs: TrainingRuns, private readonly dataDir: string) {}

  /**
   * The path of the checkpoint in the data folder.
   * @throws {RequestError} not-found: no such run or file; failed-precondition: the run has no checkpoint yet;
   *   invalid-argument: the path leads out of the data folder.
   */
  async find(source: Source): Promise<string> {
    if (source.kind === "checkpoint") return await resolveInside(this.dataDir, "source.checkpoint", source.path);
    const { checkpoints, state } = this.runs.get(source.id);
    const newest = checkpoints.at(-1);
    if (newest) return newest.path;
    throw new RequestError("failed-precondition", `Run "runs/${source.id}" is ${state} and has no checkpoint`);
  }
}
