import type { DatasetDescription } from "../data/mod.ts";
import type { Checkpoint } from "../models/mod.ts";
import { CheckpointFolder } from "./checkpoint_folder.ts";
import { type EngineContext, withRoom } from "./context.ts";
import { openFeeds } from "./feeds.ts";
import { planTraining, sizedFor, type TrainingPlans } from "./fit.ts";
import { readInitialCheckpoint } from "./initial_checkpoint.ts";
import { memoryOf } from "./memory.ts";
import type { TrainingEvent, TrainingJob } from "./messages.ts";
import { paced } from "./pace.ts";
import { requireContinuation } from "./resume.ts";
import { TrainingSession } from "./training_session.ts";
import { tunePrograms } from "./tuning.ts";

/** How a job is told to stop. */
export interface StopSignals {
  /** At once, without a checkpoint. */
  readonly signal: AbortSignal;
  /** After the steps in flight, with a checkpoint. */
  readonly pause: AbortSignal;
}

/**
 * Trains a network from its initial values, from weights that were trained before or from a checkpoint of the same run,
 * to the last epoch: progress after every step, an evaluation and a checkpoint after epochs, checkpoints between them as
 * configured.
 *
 * @throws {EngineError} `invalid` or `exhausted` when the configuration does not fit; `diverged`; `storage`.
 * @throws the signal's reason when aborted.
 */
export async function* train(
  context: EngineContext,
  job: TrainingJob,
  stop: StopSignals,
): AsyncGenerator<TrainingEvent> {
  let position = { step: 0, epoch: 0 };
  try {
    for await (const event of trainUnlessPaused(context, job, stop)) {
      position = { step: event.step, epoch: event.epoch };
      yield event;
    }
  } catch (error) {
    // Before the first step there is nothing to be kept.
    if (stop.signal.aborted || error !== stop.pause.reason) throw error;
    yield { kind: "paused", ...position };
  }
}

/** @throws the pause's reason when that comes before the first step. */
async function* trainUnlessPaused(
  context: EngineContext,
  job: TrainingJob,
  stop: StopSignals,
): AsyncGenerator<TrainingEvent> {
  const { config } = job;
  const beforeSteps = AbortSignal.any([stop.signal, stop.pause]);
  const interlude = paced(beforeSteps);
  const dataset = sizedFor(config, await context.datasets.describe(config.dataset));
  // Before anything is measured: what does not fit is told at once.
  let plans = await planTraining(context, config, { dataset, interlude });
  const folder = new CheckpointFolder(context.dataDir, job.folder);
  await folder.open();
  let from: Checkpoint | undefined;
  if (job.resume) {
    const { event, checkpoint } = await findStart(folder, job, { dataset, plans });
    yield event;
    if (checkpoint?.position.epoch === config.epochs) return;
    from = checkpoint;
  }
  const { graph } = plans.full.program;
  const initial = from ? undefined : await readInitialCheckpoint(context.dataDir, config, graph);
  const { step, epoch } = from?.position ?? { step: 0, epoch: 0 };
  const programs = [plans.full, plans.tail, plans.evaluation].flatMap((planned) => planned?.program ?? []);
  // All of them, the rare last batch too: what is left to a later run could change this one's kernels when it resumes.
  let isTuned = false;
  for await (const tuning of tunePrograms(context, programs, beforeSteps)) {
    isTuned = true;
    yield { kind: "preparing", step, epoch, tuning, pipelinesReady: 0, pipelinesTotal: 0 };
  }
  if (isTuned) plans = await planTraining(context, config, { dataset, interlude });
  const { total } = memoryOf(plans);
  // Planned for all the memory there is, so that what is in use now changes no kernel, and so no bit.
  await withRoom(context, () => context.device.requireRoom("The run", total));
  const feeds = await openFeeds(context, config, { dataset, plans });
  const parts = { config, folder, dataset, plans, feeds, from, initial };
  const session = await TrainingSession.create(context.device, parts, interlude);
  try {
    yield* session.prepare(beforeSteps);
    yield* session.train(stop);
  } finally {
    session.destroy();
  }
}

/** @throws {EngineError} `invalid` when there are whole checkpoints, but of something else. */
async function findStart(
  folder: CheckpointFolder,
  { config }: TrainingJob,
  { dataset, plans }: { readonly dataset: DatasetDescription; readonly plans: TrainingPlans },
): Promise<{ readonly event: TrainingEvent; readonly checkpoint?: Checkpoint }> {
  let foreign: unknown;
  const accept = (checkpoint: Checkpoint) => {
    try {
      requireContinuation(checkpoint, { config, dataset, graph: plans.full.program.graph });
    } catch (error) {
      foreign ??= error;
      throw error;
    }
  };
  const { found, refused } = await folder.newest(accept);
  // What is damaged can be made again, bit for bit. Not so what is whole: it would be trained over.
  if (!found && foreign) throw foreign;
  const { step = 0, epoch = 0 } = found?.info ?? {};
  return { event: { kind: "resumed", step, epoch, from: found?.info, refused }, checkpoint: found?.checkpoint };
}
