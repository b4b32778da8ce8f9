/**
 * Folders in the making. A data set is written to `.importing-<name>-<process>-<random>` beside its place and renamed
 * when it is whole, so that a folder with a data set's name was always finished once.
 */
import { join } from "node:path";
import process from "node:process";
import { asStorageError, isNotFound } from "../errors.ts";

const PREFIX = ".importing-";
const PATTERN = /^\.importing-.*-(\d+)-[0-9a-f]{8}$/;
/** A process number may have been given to another process since; a folder untouched for so long is left over. */
const ABANDONED_MS = 3_600_000;

export class StagingFolder implements AsyncDisposable {
  private constructor(readonly path: string, readonly root: string, readonly name: string) {}

  /** @param root is made where it is missing. @throws {DatasetError} `storage` */
  static async create(root: string, name: string): Promise<StagingFolder> {
    const path = join(root, `${PREFIX}${name}-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`);
    try {
      await Deno.mkdir(path, { recursive: true });
    } catch (error) {
      throw asStorageError(error, `Cannot write data set "${name}"`);
    }
    return new StagingFolder(path, root, name);
  }

  /**
   * Renames the folder to the data set's name.
   *
   * @param replace whether a folder of that name is put aside and removed
   * @returns false where there is such a folder (another writer was faster); this one is then left to be disposed of
   * @throws {DatasetError} `storage`
   */
  async publish({ replace }: { readonly replace: boolean }): Promise<boolean> {
    const target = join(this.root, this.name);
    try {
      await synchroniseFolder(this.path);
      if (replace) await this.#putAside(target);
      try {
        await Deno.rename(this.path, target);
      } catch (error) {
        if (await isFolder(target)) return false;
        throw error;
      }
      await synchroniseFolder(this.root);
      return true;
    } catch (error) {
      throw asStorageError(error, `Cannot write data set "${this.name}"`);
    }
  }

  /** Renamed before it is removed: a reader finds all of a data set or none of it. */
  async #putAside(target: string): Promise<void> {
    const aside = join(this.root, `${PREFIX}${this.name}-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`);
    try {
      await Deno.rename(target, aside);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    await Deno.remove(aside, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeFolder(this.path);
  }
}

/** Removes what imports that were killed have left in a folder of data sets. */
export async function removeAbandonedStaging(root: string): Promise<void> {
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(root))).map((entry) => entry.name);
  } catch (error) {
    if (isNotFound(error)) return;
    throw asStorageError(error, "Cannot read the folder of data sets");
  }
  for (const name of names) {
    const owner = PATTERN.exec(name)?.[1];
    if (owner === undefined) continue;
    const path = join(root, name);
    if (!isAlive(Number(owner)) || (await isUntouched(path))) await removeFolder(path);
  }
}

function isAlive(pid: number): boolean {
  try {
    // Signal 0 only asks.
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

/** False too where it has gone in the meantime. */
async function isUntouched(folder: string): Promise<boolean> {
  try {
    const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
    const times = await Promise.all(["", ...names].map(async (name) => (await Deno.lstat(join(folder, name))).mtime));
    return Date.now() - Math.max(...times.map((time) => time?.getTime() ?? 0)) > ABANDONED_MS;
  } catch {
    return false;
  }
}

async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!isNotFound(error)) throw asStorageError(error, "Cannot remove a half-written data set");
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

/** A rename is on the disk once the folder that holds the name is. */
async function synchroniseFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return; // Folders cannot be opened there.
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
}
