/** Opens the feeds of a run: where its training and its test images come from. */
import { CENTER_CROP, type DatasetDescription, RANDOM_RESIZED_CROP } from "../data/mod.ts";
import { type GpuDevice, GpuError } from "../gpu/mod.ts";
import { type BatchFeed, HostFeed } from "./batch_feed.ts";
import { limitImages } from "./batches.ts";
import type { EngineContext } from "./context.ts";
import { imagesUsed, type TrainingPlans } from "./fit.ts";
import type { TrainingConfig } from "./messages.ts";
import { ResidentFeed } from "./resident_feed.ts";
import { StreamedFeed } from "./streamed_feed.ts";

export interface RunFeeds {
  readonly train: BatchFeed;
  readonly test: BatchFeed;
}

/**
 * Loads the images that a configuration uses, and uploads them where the plans keep them in GPU memory.
 * @throws {GpuError} `out-of-memory` when the configuration asks for that and the GPU refuses.
 */
export async function openFeeds(
  { device, datasets, dataDir }: EngineContext,
  config: TrainingConfig,
  { dataset, plans: { imageBytes, evaluationBatch } }: {
    readonly dataset: DatasetDescription;
    readonly plans: Pick<TrainingPlans, "imageBytes" | "evaluationBatch">;
  },
): Promise<RunFeeds> {
  if (dataset.kind === "streamed") return openStreams(dataDir, config, { dataset, evaluationBatch });
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
      if (config.dataPath === "resident" || !isHopeLost(device, error)) throw error;
    }
  }
  return { train: HostFeed.shuffled(train, config), test: HostFeed.sequential(test, evaluation) };
}

function openStreams(
  dataDir: string,
  { batchSize, seed, epochs, randomResizedCrop: crop = RANDOM_RESIZED_CROP, ...config }: TrainingConfig,
  { dataset, evaluationBatch }: { readonly dataset: DatasetDescription; readonly evaluationBatch: number },
): RunFeeds {
  const { name, height, width, channels } = dataset;
  const common = { size: { height, width, channels }, preprocessing: CENTER_CROP };
  const { train: count, test } = imagesUsed(config, dataset);
  return {
    train: StreamedFeed.shuffled({ dataDir, name, split: "train" }, {
      ...common,
      count,
      batchSize,
      seed,
      epochs,
      crop,
    }),
    test: StreamedFeed.sequential(
      { dataDir, name, split: "test" },
      { ...common, count: test, batchSize: evaluationBatch },
    ),
  };
}

/** Whether a GPU whose memory nobody knew has less than was hoped for. */
function isHopeLost({ memoryBudget }: GpuDevice, error: unknown): boolean {
  return memoryBudget === undefined && error instanceof GpuError && error.failure === "out-of-memory";
}
