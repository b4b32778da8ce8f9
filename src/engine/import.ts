/** Checkpoints of networks that were trained elsewhere. */
import type { DatasetRegistry } from "../data/mod.ts";
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
import type { EngineContext } from "./context.ts";
import {
  EngineError,
  type ImportedImages,
  type ImportedModel,
  type ImportedNetwork,
  type ModelImportJob,
} from "./messages.ts";
import { datasetOf } from "./resume.ts";
import { descriptionOf } from "./trained_network.ts";

const FOLDER = "models";
/** Nothing was trained here yet: what a checkpoint of weights alone says of its position. */
const START = { seed: 0, epoch: 0, stepInEpoch: 0, step: 0 } as const;

export class ModelImporter {
  readonly #dataDir: string;
  readonly #datasets: DatasetRegistry;
  #last: Promise<unknown> = Promise.resolve();

  constructor({ dataDir, datasets }: Pick<EngineContext, "dataDir" | "datasets">) {
    this.#dataDir = dataDir;
    this.#datasets = datasets;
  }

  /**
   * @throws {EngineError} `exists`, `not-found`, `invalid`, `storage`.
   * @throws {CheckpointError} The file is damaged, or its tensors are not those of the network.
   * @throws {ModelError} There is no such network. {UnknownDatasetError}
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
    const checkpoint = network ? await this.#ofStateDict(bytes, network) : ofCheckpoint(bytes);
    const content = encodeCheckpoint(checkpoint);
    await makeFolderDurably(this.#dataDir, FOLDER);
    await using file = await stageFile(`${this.#dataDir}/${path}`, content);
    await file.publish();
    const { step, epoch } = START;
    return { checkpoint: { path, step, epoch, bytes: content.length }, description: descriptionOf(checkpoint) };
  }

  async #ofStateDict(bytes: Uint8Array, { model, trainedOn }: ImportedNetwork): Promise<Checkpoint> {
    const { tensors } = readSafetensors(bytes);
    const dataset = "dataset" in trainedOn
      ? datasetOf(await this.#datasets.describe(trainedOn.dataset))
      : unnamed(trainedOn, classesIn(tensors));
    const weights = readStateDict(tensors, networkVariables(model, dataset, dataset.classNames.length));
    return { model, dataset, position: START, configuration: null, ...weights, velocities: new Map() };
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

/** Images of no data set. */
function unnamed(images: ImportedImages, classes = 1): CheckpointDataset {
  return { name: "", ...images, classNames: images.classNames ?? Array.from({ length: classes }, (_, i) => `${i}`) };
}

function ofCheckpoint(bytes: Uint8Array<ArrayBuffer>): Checkpoint {
  if (readSafetensors(bytes).metadata.format !== CHECKPOINT_FORMAT) {
    throw new EngineError("invalid", "Cannot import the file without a model: it is no checkpoint of Multistep");
  }
  return { ...withoutOptimizer(decodeCheckpoint(bytes)), position: START, best: undefined };
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
