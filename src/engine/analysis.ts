/** What the engine says of a trained network as a numerical scheme. */
import { analyzeNetwork, trainedWeights } from "../models/mod.ts";
import { readCheckpoint } from "./checkpoint_files.ts";
import type { CheckpointAnalysis, TrainingConfig } from "./messages.ts";

/**
 * @param path Relative to the data folder.
 * @throws {EngineError} `not-found`, `damaged`, `invalid` for what is no checkpoint.
 * @throws {ModelError} for a network that there is not.
 */
export async function analyzeCheckpoint(dataDir: string, path: string): Promise<CheckpointAnalysis> {
  const checkpoint = await readCheckpoint(dataDir, path);
  const { model, position, configuration } = checkpoint;
  // Of weights that were trained elsewhere there is no configuration.
  const { emaDecay } = (configuration ?? {}) as Partial<TrainingConfig>;
  const analysis = analyzeNetwork(model, trainedWeights(checkpoint));
  return { ...analysis, model, step: position.step, isAverage: emaDecay !== undefined };
}
