import { type Preprocessing, STRETCH } from "../data/mod.ts";
import { type Interlude, Variables } from "../gpu/mod.ts";
import { type Checkpoint, type NamedTensor, trainedWeights } from "../models/mod.ts";
import type { EngineContext } from "./context.ts";
import { type CheckpointDescription, EngineError, type TrainingConfig } from "./messages.ts";
import type { NetworkShape, Program } from "./programs.ts";
import { planProgram, Runner } from "./runner.ts";

/** A program that uses a checkpoint's weights. */
export interface TrainedNetwork {
  readonly runner: Runner;
  destroy(): void;
}

/** What a checkpoint's weights are put in, and the interlude between the parts of that: compiling takes minutes. */
export interface LoadOptions {
  readonly program: Program;
  readonly interlude: Interlude;
}

/** How a network's images are prepared: as in its training's evaluations. */
export function preprocessingOf({ dataset }: Checkpoint): Preprocessing {
  return dataset.preprocessing ?? STRETCH;
}

/** The network and the image format of a checkpoint. */
export function shapeOf({ model, dataset, configuration }: Checkpoint): NetworkShape {
  // A seal vouches that the engine wrote it; weights that were trained elsewhere come without one.
  const { stochastic } = (configuration ?? {}) as Partial<TrainingConfig>;
  return { model, images: dataset, classes: dataset.classNames.length, stochastic };
}

export function descriptionOf(checkpoint: Checkpoint): CheckpointDescription {
  const { model, dataset: { name, height, width, channels, classNames } } = checkpoint;
  const preprocessing = preprocessingOf(checkpoint);
  return { model, dataset: name, height, width, channels, classNames, preprocessing };
}

/**
 * Puts a program with a checkpoint's weights on the GPU, compiled.
 * @throws what the interlude throws.
 * @throws {MemoryLimitError} when it does not fit beside what is there.
 * @throws {EngineError} when the checkpoint's tensors are not those of its network.
 */
export async function loadNetwork(
  context: EngineContext,
  checkpoint: Checkpoint,
  { program, interlude }: LoadOptions,
): Promise<TrainedNetwork> {
  const { device } = context;
  const plan = await planProgram(context, program, interlude);
  device.requireRoom("The network", plan.totalBytes);
  const variables = await device.allocate(() => new Variables(device, plan));
  const made: { destroy(): void }[] = [variables];
  const destroy = () => made.forEach((part) => part.destroy());
  try {
    const runner = await Runner.create(device, program, { plan, variables, interlude });
    made.unshift(runner);
    for await (const _ready of runner.warmUp()) await interlude();
    upload(variables, checkpoint);
    return { runner, destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}

function upload(variables: Variables, checkpoint: Checkpoint): void {
  const { model, states } = checkpoint;
  try {
    variables.uploadParameters(valuesOf(trainedWeights(checkpoint)));
    variables.uploadStates(valuesOf(states));
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError("invalid", `Cannot use the checkpoint for ${model.name}: ${detail}`, { cause });
  }
}

/** A checkpoint's tensors as `Variables` take them. */
export function valuesOf(tensors: ReadonlyMap<string, NamedTensor>): Map<string, Float32Array> {
  return new Map([...tensors].map(([name, { data }]) => [name, data]));
}
