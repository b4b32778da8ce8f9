import type { DatasetDescription, LabelledImages } from "../data/mod.ts";
import type { Checkpoint } from "../models/mod.ts";
import { gatherBatch, limitImages, sequentialBatches } from "./batches.ts";
import { readCheckpoint } from "./checkpoint_files.ts";
import { type EngineContext, withRoom } from "./context.ts";
import { EngineError, type EvaluationEvent, type EvaluationJob } from "./messages.ts";
import { MetricSums } from "./metrics.ts";
import { evaluationProgram } from "./programs.ts";
import { pipelined, type Runner } from "./runner.ts";
import { loadNetwork, shapeOf } from "./trained_network.ts";
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
  const dataset = await context.datasets.describe(job.dataset ?? checkpoint.dataset.name);
  requireMatch(checkpoint, dataset);
  const images = limitImages(await context.datasets.load(dataset.name, job.split), job.limit);
  if (images.count === 0) {
    throw new EngineError("invalid", `Cannot evaluate on ${dataset.name}: its ${job.split} split has no images`);
  }
  const batchSize = Math.min(job.batchSize, images.count);
  const program = evaluationProgram(shapeOf(checkpoint), batchSize);
  for await (const _tried of tunePrograms(context, [program], signal));
  const network = await withRoom(context, () => loadNetwork(context, checkpoint, program));
  try {
    const classes = dataset.classNames.length;
    const sums = new MetricSums();
    const confusion = new Uint32Array(classes * classes);
    const started = performance.now();
    let imagesDone = 0;
    for await (const { item, output } of evaluationBatches(network.runner, { images, batchSize }, signal)) {
      sums.add(output, item.length);
      item.forEach((index, row) => confusion[images.labels[index] * classes + output[row * 4 + 2]]++);
      imagesDone += item.length;
      yield { kind: "progress", imagesDone, imagesTotal: images.count };
    }
    const imagesPerSecond = images.count / Math.max(1e-3, (performance.now() - started) / 1000);
    const result = { metrics: sums.means, classNames: dataset.classNames, confusion, imagesPerSecond };
    yield { kind: "result", result };
  } finally {
    network.destroy();
  }
}

/** Runs an evaluation program over images in order; yields the indices and the results of each batch. */
export function evaluationBatches(
  runner: Runner,
  { images, batchSize }: { readonly images: LabelledImages; readonly batchSize: number },
  signal: AbortSignal,
): AsyncGenerator<{ readonly item: Uint32Array; readonly output: Float32Array }> {
  const submit = (indices: Uint32Array) => {
    const ticket = runner.submit(gatherBatch(images, indices, batchSize), { learningRate: 0, seed: 0, epoch: 0 });
    return { runner, ticket };
  };
  return pipelined(sequentialBatches(images.count, batchSize), submit, signal);
}

function requireMatch({ dataset: trained }: Checkpoint, dataset: DatasetDescription): void {
  const size = (d: { height: number; width: number; channels: number }) => `${d.height}x${d.width}x${d.channels}`;
  if (size(trained) !== size(dataset)) {
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
