/** Checkpoints made ready to be carried away: files named by their content, which no run deletes or writes again. */
import { createHash } from "node:crypto";
import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  networkVariables,
  withoutOptimizer,
  writeStateDict,
} from "../models/mod.ts";
import { readCheckpointBytes, stageFile, useCheckpoint } from "./checkpoint_files.ts";
import { EngineError, type ExportedModel, type ExportJob } from "./messages.ts";
import { shapeOf } from "./trained_network.ts";

const FOLDER = "exports";
/** An export that nobody has asked for in this time is deleted at the next one. */
const LIFETIME_MS = 3_600_000;

export class Exporter {
  readonly #dataDir: string;
  /** By job: a client that reads piece by piece asks again for each, even when the run has deleted its checkpoint. */
  readonly #known = new Map<string, Promise<ExportedModel>>();

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** @throws {EngineError} `not-found`, `damaged`, `storage`. */
  async export(job: ExportJob): Promise<ExportedModel> {
    const key = JSON.stringify([job.checkpoint, job.optimizerState, job.format]);
    const known = await this.#known.get(key)?.catch(() => undefined);
    if (known && await this.#touch(known)) return known;
    const made = this.#make(job);
    this.#known.set(key, made);
    made.catch(() => this.#known.delete(key));
    return await made;
  }

  async #make(job: ExportJob): Promise<ExportedModel> {
    const bytes = await readCheckpointBytes(this.#dataDir, job.checkpoint);
    const content = useCheckpoint(job.checkpoint, () => exportedBytes(job, bytes));
    const sha256 = createHash("sha256").update(content).digest("hex");
    const exported = { path: `${FOLDER}/${sha256}.safetensors`, bytes: content.length, sha256 };
    await Deno.mkdir(`${this.#dataDir}/${FOLDER}`, { recursive: true });
    await this.#deleteUnused();
    if (!await this.#touch(exported)) {
      await using file = await stageFile(`${this.#dataDir}/${exported.path}`, content);
      await file.publish();
    }
    return exported;
  }

  /** Whether the file is there and whole; its life begins anew. */
  async #touch({ path, bytes }: ExportedModel): Promise<boolean> {
    const file = `${this.#dataDir}/${path}`;
    try {
      if ((await Deno.stat(file)).size !== bytes) return false;
      await Deno.utime(file, new Date(), new Date());
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  async #deleteUnused(): Promise<void> {
    for await (const { name } of Deno.readDir(`${this.#dataDir}/${FOLDER}`)) {
      const file = `${this.#dataDir}/${FOLDER}/${name}`;
      const { mtime } = await Deno.stat(file);
      if (Date.now() - (mtime?.getTime() ?? 0) > LIFETIME_MS) await Deno.remove(file);
    }
  }
}

/** The checkpoint as it is, without what only training needs, or as PyTorch has it. @throws {CheckpointError} */
function exportedBytes({ format, optimizerState }: ExportJob, bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const checkpoint = decodeCheckpoint(bytes);
  if (format === "pytorch") return stateDictOf(checkpoint);
  return optimizerState ? bytes : encodeCheckpoint(withoutOptimizer(checkpoint));
}

function stateDictOf(checkpoint: Checkpoint): Uint8Array {
  const { model, images, classes, stochastic } = shapeOf(checkpoint);
  if (stochastic?.depth?.scaling === "test") {
    throw new EngineError(
      "unsupported",
      "Cannot export a state dict: evaluation multiplies the network's blocks by their probability of survival " +
        "(drop_scaling TEST), which the weights do not tell",
    );
  }
  const variables = networkVariables(model, images, classes);
  return writeStateDict(withoutOptimizer(checkpoint), variables, { steps: checkpoint.position.step });
}
