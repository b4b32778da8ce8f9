/** Opens the feeds of a run: where its training and its test images come from. */
import { GpuError } from "../gpu/mod.ts";
import { type BatchFeed, HostFeed } from "./batch_feed.ts";
import { limitImages } from "./batches.ts";
import type { EngineContext } from "./context.ts";
import type { TrainingPlans } from "./fit.ts";
import type { TrainingConfig } from "./messages.ts";
import { ResidentFeed } from "./resident_feed.ts";

export interface RunFeeds {
  readonly train: BatchFeed;
  readonly test: BatchFeed;
}

/**
 * Loads the images that a configuration uses, and uploads them where the plans keep them in GPU memory.
 * @throws {GpuError} `out-of-memory` when the configuration asks for that and the GPU refuses.
 */
export async function openFeeds(
  { device, datasets }: EngineContext,
  config: TrainingConfig,
  { imageBytes, evaluationBatch }: TrainingPlans,
): Promise<RunFeeds> {
  const train = limitImages(await datasets.load(config.dataset, "train"), config.limitTrain);
  const test = limitImages(await datasets.load(config.dataset, "test"), config.limitTest);
  const evaluation = { batchSize: evaluationBatch };
  if (imageBytes > 0) {
    const opened: BatchFeed[] = [];
    try {
      opened.push(await ResidentFeed.shuffled(device, train, config));
      opened.push(await ResidentFeed.sequential(device, test, evaluation));
      return { train: opened[0], test: opened[1] };
    } catch (error) {
      for (const feed of opened) feed.destroy();
      if (config.dataPath === "resident" || !isOutOfMemory(error)) throw error;
    }
  }
  return { train: HostFeed.shuffled(train, config), test: HostFeed.sequential(test, evaluation) };
}

/** A GPU whose memory is not known beforehand may have less than was hoped for. */
function isOutOfMemory(error: unknown): boolean {
  return error instanceof GpuError && error.failure === "out-of-memory";
}
