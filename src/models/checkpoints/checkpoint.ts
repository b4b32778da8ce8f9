/**
 * A trained network as one safetensors file: parameters and running statistics under their own names (weights OIHW,
 * as PyTorch has them), the optimiser's momentum as `optimizer.velocity.<parameter>`, of mixed precision the loss scale
 * and its counters among the statistics as `optimizer.<name>`, the parameters' moving average as
 * `optimizer.average.<parameter>` where there is one, and what is needed to go on or to use it as JSON in the metadata. A
 * checksum covers the whole file.
 */
import { Buffer } from "node:buffer";
import { averageName } from "../../gpu/mod.ts";
import type { ModelSpec } from "../spec.ts";
import { BLANK_SEAL, checkSeal, seal } from "./seal.ts";
import { CheckpointError, readSafetensors, type SafetensorsTensor, writeSafetensors } from "./safetensors.ts";

/** What the metadata's `format` says. */
export const CHECKPOINT_FORMAT = "multistep-1";
/** In the header's JSON; within a name or a value its quotes would be escaped. */
const MARK = `"format":"${CHECKPOINT_FORMAT}"`;
const OPTIMIZER_PREFIX = "optimizer.";
const VELOCITY_PREFIX = `${OPTIMIZER_PREFIX}velocity.`;

/** What was a checkpoint of this project, which are written whole, and is no more. */
export class DamagedCheckpointError extends CheckpointError {
  override readonly name = "DamagedCheckpointError";
}

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** What the network was trained on: how to prepare an image and what the classes are called. */
export interface CheckpointDataset {
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
  readonly classNames: readonly string[];
  /**
   * How an image of any size becomes one of this height and width: scaled to cover it divided by `ratio` and its centre
   * cut out, or, where absent, stretched to it.
   */
  readonly preprocessing?: { readonly method: "center_crop"; readonly ratio: number };
}

/** Where training stood; random draws are keyed by it, so it is the generator's position too. */
export interface TrainingPosition {
  readonly seed: number;
  /** The epoch that the next step belongs to, from 0. */
  readonly epoch: number;
  /** Steps done in that epoch, and in all. */
  readonly stepInEpoch: number;
  readonly step: number;
}

/** The evaluation with the highest top1, of those the one with the lowest loss. */
export interface BestEvaluation {
  /** Of the checkpoint that was evaluated. */
  readonly step: number;
  readonly top1: number;
  readonly loss: number;
}

export interface Checkpoint {
  readonly model: ModelSpec;
  readonly dataset: CheckpointDataset;
  readonly position: TrainingPosition;
  /** The best evaluation up to here; undefined before the first. */
  readonly best?: BestEvaluation;
  /** The run's configuration, as the engine wrote it. */
  readonly configuration: unknown;
  readonly parameters: ReadonlyMap<string, NamedTensor>;
  readonly states: ReadonlyMap<string, NamedTensor>;
  /** Empty in a file of weights alone. */
  readonly velocities: ReadonlyMap<string, NamedTensor>;
}

/** The weights that a trained network computes with: their moving average where there is one, else the parameters. */
export function trainedWeights({ parameters, states }: Checkpoint): Map<string, NamedTensor> {
  return new Map([...parameters].map(([name, tensor]) => [name, states.get(averageName(name)) ?? tensor]));
}

/**
 * The checkpoint without what only training needs: momentum, mixed precision's loss scale, and the parameters
 * themselves where a moving average takes their place.
 */
export function withoutOptimizer(checkpoint: Checkpoint): Checkpoint {
  const states = [...checkpoint.states].filter(([name]) => !name.startsWith(OPTIMIZER_PREFIX));
  return { ...checkpoint, parameters: trainedWeights(checkpoint), states: new Map(states), velocities: new Map() };
}

export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array<ArrayBuffer> {
  const tensors: Record<string, SafetensorsTensor> = {};
  const add = (prefix: string, values: ReadonlyMap<string, NamedTensor>) => {
    for (const [name, { shape, data }] of values) tensors[prefix + name] = { dtype: "F32", shape, data };
  };
  add("", checkpoint.parameters);
  add("", checkpoint.states);
  add(VELOCITY_PREFIX, checkpoint.velocities);
  const file = writeSafetensors(tensors, {
    ...BLANK_SEAL,
    format: CHECKPOINT_FORMAT,
    model: JSON.stringify(checkpoint.model),
    dataset: JSON.stringify(checkpoint.dataset),
    position: JSON.stringify(checkpoint.position),
    best: JSON.stringify(checkpoint.best ?? null),
    configuration: JSON.stringify(checkpoint.configuration),
    states: JSON.stringify([...checkpoint.states.keys()]),
  });
  seal(file);
  return file;
}

/**
 * @throws {DamagedCheckpointError} for a checkpoint of this project that was cut off or altered.
 * @throws {CheckpointError} for a file that shows no sign of having been one.
 */
export function decodeCheckpoint(bytes: Uint8Array<ArrayBuffer>): Checkpoint {
  try {
    return decodeWhole(bytes);
  } catch (error) {
    if (!(error instanceof CheckpointError) || !isMarked(bytes)) throw error;
    throw new DamagedCheckpointError(error.message, { cause: error });
  }
}

function isMarked(bytes: Uint8Array<ArrayBuffer>): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(MARK);
}

function decodeWhole(bytes: Uint8Array<ArrayBuffer>): Checkpoint {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== CHECKPOINT_FORMAT) {
    throw new CheckpointError(
      `Cannot use the checkpoint: its format is "${metadata.format ?? "unknown"}", not "${CHECKPOINT_FORMAT}"`,
    );
  }
  checkSeal(bytes);
  const stateNames = new Set(parseField<string[]>(metadata, "states"));
  const parameters = new Map<string, NamedTensor>();
  const states = new Map<string, NamedTensor>();
  const velocities = new Map<string, NamedTensor>();
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.dtype !== "F32") {
      throw new CheckpointError(`Cannot use the checkpoint: "${name}" is ${tensor.dtype}, not F32`);
    }
    const { shape, data } = tensor;
    if (name.startsWith(VELOCITY_PREFIX)) velocities.set(name.slice(VELOCITY_PREFIX.length), { shape, data });
    else (stateNames.has(name) ? states : parameters).set(name, { shape, data });
  }
  return {
    model: parseField(metadata, "model"),
    dataset: parseField(metadata, "dataset"),
    position: parseField(metadata, "position"),
    best: parseField<BestEvaluation | null>(metadata, "best") ?? undefined,
    configuration: parseField(metadata, "configuration"),
    parameters,
    states,
    velocities,
  };
}

function parseField<T>(metadata: Readonly<Record<string, string>>, field: string): T {
  try {
    return JSON.parse(metadata[field]);
  } catch (cause) {
    throw new CheckpointError(`Cannot use the checkpoint: its metadata has no readable "${field}"`, { cause });
  }
}
