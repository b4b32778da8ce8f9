import type { DatasetDescription } from "../data/mod.ts";
import type { Checkpoint } from "../models/mod.ts";
import { ALL_BATCHES, type BatchFeed, HostFeed } from "./batch_feed.ts";
import { type Batch, type HostBatch, limitImages } from "./batches.ts";
import { readCheckpoint } from "./checkpoint_files.ts";
import { type EngineContext, withRoom } from "./context.ts";
import { EngineError, type EvaluationEvent, type EvaluationJob } from "./messages.ts";
import { MetricSums } from "./metrics.ts";
import { paced } from "./pace.ts";
import { evaluationProgram } from "./programs.ts";
import { type FinishedStep, pipelined, type Runner } from "./runner.ts";
import { StreamedFeed } from "./streamed_feed.ts";
import { loadNetwork, preprocessingOf, shapeOf } from "./trained_network.ts";
import { tunePrograms } from "./tuning.ts";

/**
 * Evaluates a checkpoint on a split: progress after every batch, then the result.
 *
 * @throws {EngineError} when checkpoint and data set do not go together.
 * @throws the signal's reason when aborted.
 */
export async function* evaluate(
  context: EngineContext,
  job: EvaluationJob,
  signal: AbortSignal,
): AsyncGenerator<EvaluationEvent> {
  const checkpoint = await readCheckpoint(context.dataDir, job.checkpoint);
  const name = job.dataset ?? checkpoint.dataset.name;
  if (name === "") {
    throw new EngineError("invalid", "Cannot evaluate a model that was imported without a data set: name one");
  }
  const dataset = await context.datasets.describe(name);
  requireMatch(checkpoint, dataset);
  const count = Math.min(dataset.images[job.split], job.limit ?? Infinity);
  if (count === 0) {
    throw new EngineError("invalid", `Cannot evaluate on ${dataset.name}: its ${job.split} split has no images`);
  }
  const batchSize = Math.min(job.batchSize, count);
  const program = evaluationProgram(shapeOf(checkpoint), batchSize);
  for await (const _tried of tunePrograms(context, [program], signal));
  const interlude = paced(signal);
  const network = await withRoom(context, () => loadNetwork(context, checkpoint, { program, interlude }));
  let feed: BatchFeed<HostBatch> | undefined;
  try {
    feed = await openFeed(context, checkpoint, { dataset, split: job.split, count, batchSize });
    const classes = dataset.classNames.length;
    const sums = new MetricSums();
    const confusion = new Uint32Array(classes * classes);
    const started = performance.now();
    let imagesDone = 0;
    for await (const { batch, output } of evaluationSteps(network.runner, feed, signal)) {
      sums.add(output, batch.count);
      const labels = batch.labels.subarray(0, batch.count);
      labels.forEach((label, row) => confusion[label * classes + output[row * 4 + 2]]++);
      imagesDone += batch.count;
      yield { kind: "progress", imagesDone, imagesTotal: count };
    }
    const imagesPerSecond = count / Math.max(1e-3, (performance.now() - started) / 1000);
    const result = { metrics: sums.means, classNames: dataset.classNames, confusion, imagesPerSecond };
    yield { kind: "result", result };
  } finally {
    feed?.destroy();
    network.destroy();
  }
}

interface EvaluatedImages {
  readonly dataset: DatasetDescription;
  readonly split: EvaluationJob["split"];
  /** The split's first. */
  readonly count: number;
  readonly batchSize: number;
}

/** Image files are prepared as the network's own data set was; pixels are used as they are. */
async function openFeed(
  { datasets, dataDir }: EngineContext,
  checkpoint: Checkpoint,
  { dataset: { name, kind }, split, count, batchSize }: EvaluatedImages,
): Promise<BatchFeed<HostBatch>> {
  if (kind === "packed") {
    return HostFeed.sequential(limitImages(await datasets.load(name, split), count), { batchSize });
  }
  const { height, width, channels } = checkpoint.dataset;
  const size = { height, width, channels: channels === 1 ? 1 : 3 } as const;
  const preprocessing = preprocessingOf(checkpoint);
  return StreamedFeed.sequential({ dataDir, name, split }, { size, preprocessing, count, batchSize });
}

/** Runs an evaluation program over all images of a feed. */
export function evaluationSteps<B extends Batch>(
  runner: Runner,
  feed: BatchFeed<B>,
  signal: AbortSignal,
): AsyncGenerator<FinishedStep<B>> {
  const step = { learningRate: 0, seed: 0, epoch: 0, step: 0 };
  const submit = (batch: B) => ({ runner, ticket: runner.submit(batch, step) });
  return pipelined(feed.batches(0, ALL_BATCHES, signal), submit, { signal });
}

function requireMatch({ dataset: trained }: Checkpoint, dataset: DatasetDescription): void {
  const size = (d: { height: number; width: number; channels: number }) => `${d.height}x${d.width}x${d.channels}`;
  if (dataset.kind === "packed" && size(trained) !== size(dataset)) {
    throw new EngineError(
      "invalid",
      `Cannot evaluate on ${dataset.name}: its images are ${size(dataset)}, the network takes ${size(trained)}`,
    );
  }
  if (trained.classNames.length !== dataset.classNames.length) {
    throw new EngineError(
      "invalid",
      `Cannot evaluate on ${dataset.name}: it has ${dataset.classNames.length} classes, ` +
        `the network has ${trained.classNames.length}`,
    );
  }
}
