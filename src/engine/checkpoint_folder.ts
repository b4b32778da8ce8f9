/** The checkpoints of one run: which stay, which one a resumed run goes on from. */
import type { Checkpoint } from "../models/mod.ts";
import { encodeCheckpoint } from "../models/mod.ts";
import { makeFolderDurably, PARTIAL, readCheckpoint, removeFile, stageFile } from "./checkpoint_files.ts";
import { type CheckpointInfo, EngineError, type RefusedCheckpoint } from "./messages.ts";

const NAME = /^step-(\d+)\.safetensors$/;

interface Entry {
  readonly step: number;
  /** Relative to the data folder. */
  readonly path: string;
}

export interface WrittenCheckpoint {
  readonly checkpoint: CheckpointInfo;
  /** Paths of the checkpoints up to this one that are on disk, oldest first. */
  readonly kept: readonly string[];
}

/** A checkpoint on the disk that has no name yet; disposed of unpublished, it is gone. */
export interface StagedCheckpoint extends AsyncDisposable {
  /**
   * Gives it its name, then deletes the older ones but the newest `keep` and the best. Those past its step, which a
   * resumed run has refused or not reached again, are left alone.
   * @throws {EngineError} `storage`
   */
  publish(keep: number): Promise<WrittenCheckpoint>;
}

export interface FoundCheckpoint {
  readonly found?: { readonly checkpoint: Checkpoint; readonly info: CheckpointInfo };
  readonly refused: readonly RefusedCheckpoint[];
}

export class CheckpointFolder {
  readonly #dataDir: string;
  /** Relative to the data folder. */
  readonly #folder: string;

  /** @param run The run's folder, relative to the data folder. */
  constructor(dataDir: string, run: string) {
    this.#dataDir = dataDir;
    this.#folder = `${run}/checkpoints`;
  }

  /**
   * Makes the folder, and removes what interrupted writes have left in it.
   * @throws {EngineError} `storage`
   */
  async open(): Promise<void> {
    await makeFolderDurably(this.#dataDir, this.#folder);
    for await (const { name } of Deno.readDir(`${this.#dataDir}/${this.#folder}`)) {
      if (name.endsWith(PARTIAL)) await removeFile(`${this.#dataDir}/${this.#folder}/${name}`);
    }
  }

  /**
   * Puts a checkpoint on the disk under a temporary name.
   * @throws {EngineError} `storage`
   */
  async stage(checkpoint: Checkpoint): Promise<StagedCheckpoint> {
    const path = `${this.#folder}/step-${String(checkpoint.position.step).padStart(8, "0")}.safetensors`;
    const bytes = encodeCheckpoint(checkpoint);
    const file = await stageFile(`${this.#dataDir}/${path}`, bytes);
    return {
      publish: async (keep) => {
        await file.publish();
        const kept = await this.#deleteOlder(checkpoint, keep);
        return { checkpoint: infoOf(checkpoint, path, bytes.length), kept };
      },
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    };
  }

  /** The paths left, oldest first; those past the checkpoint's step are neither told nor deleted. */
  async #deleteOlder({ position: { step }, best }: Checkpoint, keep: number): Promise<string[]> {
    const present = (await this.#entries()).filter((entry) => entry.step <= step);
    const kept = present.filter((entry, i) => i >= present.length - keep || entry.step === best?.step);
    for (const entry of present) if (!kept.includes(entry)) await removeFile(`${this.#dataDir}/${entry.path}`);
    return kept.map(({ path }) => path);
  }

  /**
   * The newest checkpoint that is whole and that `accept` does not refuse, and those that had to be passed over.
   * @param accept Throws an EngineError for a checkpoint that the run cannot go on from.
   */
  async newest(accept: (checkpoint: Checkpoint) => void): Promise<FoundCheckpoint> {
    const refused: RefusedCheckpoint[] = [];
    for (const { path } of (await this.#entries()).reverse()) {
      try {
        const checkpoint = await readCheckpoint(this.#dataDir, path);
        accept(checkpoint);
        const { size } = await Deno.stat(`${this.#dataDir}/${path}`);
        return { found: { checkpoint, info: infoOf(checkpoint, path, size) }, refused };
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        refused.push({ path, reason: error.message });
      }
    }
    return { refused };
  }

  /** Oldest first. */
  async #entries(): Promise<Entry[]> {
    const entries: Entry[] = [];
    for await (const { name, isFile } of Deno.readDir(`${this.#dataDir}/${this.#folder}`)) {
      const match = NAME.exec(name);
      if (match && isFile) entries.push({ step: Number(match[1]), path: `${this.#folder}/${name}` });
    }
    return entries.sort((a, b) => a.step - b.step);
  }
}

function infoOf({ position: { step, epoch } }: Checkpoint, path: string, bytes: number): CheckpointInfo {
  return { path, step, epoch, bytes };
}
