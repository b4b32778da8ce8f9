/** Whether a run can go on from a checkpoint as if it had never stopped. */
import { CENTER_CROP, type DatasetDescription } from "../data/mod.ts";
import type { Graph, Variable } from "../gpu/mod.ts";
import type { Checkpoint, CheckpointDataset, NamedTensor } from "../models/mod.ts";
import { imagesUsed } from "./fit.ts";
import { EngineError, type TrainingConfig } from "./messages.ts";
import { stepsPerEpoch } from "./schedule.ts";

export interface ResumedRun {
  readonly config: TrainingConfig;
  readonly dataset: DatasetDescription;
  readonly graph: Graph;
}

/** @throws {EngineError} `invalid`, telling what differs. */
export function requireContinuation(checkpoint: Checkpoint, run: ResumedRun): void {
  const { config, dataset, graph } = run;
  const difference = differentField(checkpoint.configuration, config);
  if (difference) throw refusal(`it is of a run with another ${difference}`);
  if (JSON.stringify(checkpoint.dataset) !== JSON.stringify(datasetOf(dataset))) {
    throw refusal(`the data set ${dataset.name} is not the one it was trained on`);
  }
  const { epoch, stepInEpoch, step, seed } = checkpoint.position;
  const perEpoch = stepsPerEpoch(imagesUsed(config, dataset).train, config);
  if (seed !== config.seed || stepInEpoch >= perEpoch || step !== epoch * perEpoch + stepInEpoch) {
    throw refusal(`step ${stepInEpoch} of epoch ${epoch} cannot be step ${step} of epochs of ${perEpoch} steps`);
  }
  requireTensors("parameter", graph.parameters, checkpoint.parameters);
  requireTensors("velocity", graph.parameters, checkpoint.velocities);
  requireTensors("statistic", graph.states, checkpoint.states);
}

/** What a checkpoint keeps of a data set. */
export function datasetOf(description: DatasetDescription): CheckpointDataset {
  const { name, kind, height, width, channels, mean, standardDeviation, classNames } = description;
  const preprocessing = kind === "streamed" ? CENTER_CROP : undefined;
  return { name, height, width, channels, mean, standardDeviation, classNames, preprocessing };
}

/** These may change from one attempt to the next: they change no bit of the weights. */
const FREE_FIELDS: ReadonlySet<string> = new Set(["checkpointEverySteps", "checkpointsKept", "maxRetries", "dataPath"]);

function differentField(written: unknown, config: TrainingConfig): string | undefined {
  // As the checkpoint has it: without the fields that are undefined.
  const current: Record<string, unknown> = JSON.parse(JSON.stringify(config));
  const before: Record<string, unknown> = { ...(written as Record<string, unknown> | null) };
  const names = new Set([...Object.keys(before), ...Object.keys(current)]);
  return [...names].find((name) =>
    !FREE_FIELDS.has(name) && JSON.stringify(before[name]) !== JSON.stringify(current[name])
  );
}

function requireTensors(what: string, variables: readonly Variable[], tensors: ReadonlyMap<string, NamedTensor>): void {
  for (const { tensor: { name, shape } } of variables) {
    const found = tensors.get(name)?.shape;
    if (!found) throw refusal(`it has no ${what} for "${name}"`);
    if (found.join() !== shape.join()) {
      throw refusal(`its ${what} for "${name}" has shape [${found}], the network's is [${shape}]`);
    }
  }
}

function refusal(reason: string): EngineError {
  return new EngineError("invalid", `Cannot go on from the checkpoint: ${reason}`);
}
