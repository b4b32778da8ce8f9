/** Which checkpoint a request means. */
import { EngineError } from "../../engine/mod.ts";
import { resolveInside } from "../allowed_paths.ts";
import { RequestError } from "../errors.ts";
import type { TrainingRuns } from "../runs/training_runs.ts";
import type { Source } from "../validation/inference.ts";

/** How often a newer checkpoint is taken: a run that trains may write them, and delete those before, in milliseconds. */
const attempts = 4;

export class WeightsFinder {
  /** @param dataDir absolute, symbolic links resolved */
  constructor(private readonly runs: Pick<TrainingRuns, "get">, private readonly dataDir: string) {}

  /**
   * Works with the checkpoint, by its path in the data folder; where the run has deleted it meanwhile, with a newer one.
   * @throws {RequestError} not-found: no such run or file; failed-precondition: the run has no checkpoint yet;
   *   invalid-argument: the path leads out of the data folder.
   * @throws what `work` throws.
   */
  async use<T>(source: Source, work: (checkpoint: string) => Promise<T>): Promise<T> {
    for (let attempt = 1;; attempt++) {
      const checkpoint = await this.find(source);
      try {
        return await work(checkpoint);
      } catch (error) {
        if (attempt === attempts || !await this.isReplaced(source, checkpoint, error)) throw error;
      }
    }
  }

  /** The same of work that gives a stream, which finds the checkpoint gone at its start or not at all. */
  async *stream<T>(source: Source, work: (checkpoint: string) => AsyncIterable<T>): AsyncGenerator<T> {
    const { first, rest } = await this.use(source, async (checkpoint) => {
      const rest = work(checkpoint)[Symbol.asyncIterator]();
      return { first: await rest.next(), rest };
    });
    try {
      for (let result = first; !result.done; result = await rest.next()) yield result.value;
    } finally {
      await rest.return?.();
    }
  }

  private async find(source: Source): Promise<string> {
    if (source.kind === "checkpoint") return await resolveInside(this.dataDir, "source.checkpoint", source.path);
    const { checkpoints, state } = this.runs.get(source.id);
    const newest = checkpoints.at(-1);
    if (newest) return newest.path;
    throw new RequestError("failed-precondition", `Run "runs/${source.id}" is ${state} and has no checkpoint`);
  }

  private async isReplaced(source: Source, checkpoint: string, error: unknown): Promise<boolean> {
    const isGone = error instanceof EngineError && error.kind === "not-found";
    return isGone && await this.find(source) !== checkpoint;
  }
}
