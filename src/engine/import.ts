/** Checkpoints of networks that were trained elsewhere. */
import {
  type Checkpoint,
  CHECKPOINT_FORMAT,
  type CheckpointDataset,
  classesIn,
  decodeCheckpoint,
  encodeCheckpoint,
  networkVariables,
  readSafetensors,
  readStateDict,
  withoutOptimizer,
} from "../models/mod.ts";
import { makeFolderDurably, readWeightsFile, stageFile } from "./checkpoint_files.ts";
import { EngineError, type ImportedModel, type ImportedNetwork, type ModelImportJob } from "./messages.ts";
import { preprocessingOf } from "./trained_network.ts";

const FOLDER = "models";
/** Nothing was trained here yet: what a checkpoint of weights alone says of its position. */
const START = { seed: 0, epoch: 0, stepInEpoch: 0, step: 0 } as const;

export class ModelImporter {
  readonly #dataDir: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /**
   * @throws {EngineError} `exists`, `not-found`, `invalid`, `storage`.
   * @throws {CheckpointError} The file is damaged, or its tensors are not those of the network.
   * @throws {ModelError} There is no such network.
   */
  async import(job: ModelImportJob): Promise<ImportedModel> {
    // One after the other: two of one name must not both find it free, and each holds a whole file in memory.
    const imported = this.#last.then(() => this.#import(job));
    this.#last = imported.catch(() => {});
    return await imported;
  }

  async #import({ source, name, network }: ModelImportJob): Promise<ImportedModel> {
    const path = `${FOLDER}/${name}.safetensors`;
    await this.#requireFree(name, path);
    const bytes = await readWeightsFile(source, { told: "the file", kind: "invalid" });
    requireNoPickle(bytes);
    const checkpoint = network ? ofStateDict(bytes, network) : ofCheckpoint(bytes);
    const content = encodeCheckpoint(checkpoint);
    await makeFolderDurably(this.#dataDir, FOLDER);
    await using file = await stageFile(`${this.#dataDir}/${path}`, content);
    await file.publish();
    const { model, dataset: { name: dataset, height, width, channels, classNames } } = checkpoint;
    return {
      checkpoint: { path, step: START.step, epoch: START.epoch, bytes: content.length },
      description: {
        model,
        dataset,
        height,
        width,
        channels,
        classNames,
        preprocessing: preprocessingOf(checkpoint),
      },
    };
  }

  /** A checkpoint that has its name never changes: who uses it relies on that. */
  async #requireFree(name: string, path: string): Promise<void> {
    try {
      await Deno.stat(`${this.#dataDir}/${path}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    throw new EngineError("exists", `Cannot import a model as "${name}": there is one of this name, choose another`);
  }
}

function ofStateDict(bytes: Uint8Array, { model, ...images }: ImportedNetwork): Checkpoint {
  const { tensors } = readSafetensors(bytes);
  const classNames = images.classNames ?? Array.from({ length: classesIn(tensors) ?? 1 }, (_, index) => `${index}`);
  const dataset: CheckpointDataset = { ...images, classNames };
  const weights = readStateDict(tensors, networkVariables(model, dataset, classNames.length));
  return { model, dataset, position: START, configuration: null, ...weights, velocities: new Map() };
}

function ofCheckpoint(bytes: Uint8Array<ArrayBuffer>): Checkpoint {
  if (readSafetensors(bytes).metadata.format !== CHECKPOINT_FORMAT) {
    throw new EngineError("invalid", "Cannot import the file without a model: it is no checkpoint of Multistep");
  }
  const checkpoint = withoutOptimizer(decodeCheckpoint(bytes));
  return { ...checkpoint, position: START, best: undefined, configuration: null };
}

/** How files of torch.save() begin: a zip archive, and the pickle that it wrote before version 1.6. */
const PICKLES = [[0x50, 0x4b, 0x03, 0x04], [0x80, 0x02, 0x8a, 0x0a]];

/** @throws {EngineError} `invalid` */
function requireNoPickle(bytes: Uint8Array): void {
  if (!PICKLES.some((start) => start.every((byte, i) => bytes[i] === byte))) return;
  throw new EngineError(
    "invalid",
    "Cannot import what torch.save() writes: write the state dict by safetensors.torch.save_file()",
  );
}
