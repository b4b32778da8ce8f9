/**
 * Folders in the making. A data set is written to `.importing-<name>-<process>-<random>` beside its place and renamed
 * when it is whole, so that a folder with a data set's name was always finished once. What an interrupted import may go
 * on from lies in `.interrupted-<name>-<process>-<random>`; whoever renames it back has taken it over.
 */
import { join } from "node:path";
import process from "node:process";
import { asStorageError, isNotFound } from "../errors.ts";
import { JOURNAL_FILE } from "./import_journal.ts";

const IMPORTING = ".importing-";
const INTERRUPTED = ".interrupted-";
const PATTERN = /^(\.importing-|\.interrupted-)(.*)-(\d+)-[0-9a-f]{8}$/;
/** A process number may have been given to another process since; a folder untouched for so long is left over. */
const ABANDONED_MS = 3_600_000;
/** The same of this process's own number, which in a container is the killed server's too. */
const ABANDONED_HERE_MS = 60_000;
/** How long an interrupted import is kept. */
const KEPT_MS = 7 * 24 * 3_600_000;

/** Folders that this thread is at work in. */
const own = new Set<string>();

export class StagingFolder implements AsyncDisposable {
  private constructor(readonly path: string, readonly root: string, readonly name: string) {
    own.add(path);
  }

  /** @param root is made where it is missing. @throws {DatasetError} `storage` */
  static async create(root: string, name: string): Promise<StagingFolder> {
    const path = join(root, folderName(IMPORTING, name));
    try {
      await Deno.mkdir(path, { recursive: true });
    } catch (error) {
      throw asStorageError(error, `Cannot write data set "${name}"`);
    }
    return new StagingFolder(path, root, name);
  }

  /**
   * Takes over what an interrupted import of this name has left.
   *
   * @param fits whether it can be gone on from; what cannot is removed
   * @returns undefined where there is nothing
   * @throws {DatasetError} `storage`
   */
  static async takeOver(
    root: string,
    name: string,
    fits: (path: string) => Promise<boolean>,
  ): Promise<StagingFolder | undefined> {
    for (const found of await stagingFolders(root)) {
      if (found.prefix !== INTERRUPTED || found.name !== name) continue;
      const path = join(root, folderName(IMPORTING, name));
      if (!(await moveFolder(found.path, path))) continue;
      const staging = new StagingFolder(path, root, name);
      if (await fits(path)) return staging;
      await staging[Symbol.asyncDispose]();
    }
    return undefined;
  }

  /** Keeps the folder for an import that goes on. @throws {DatasetError} `storage` */
  async leave(): Promise<void> {
    own.delete(this.path);
    await moveFolder(this.path, join(this.root, folderName(INTERRUPTED, this.name)));
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
    const aside = join(this.root, folderName(IMPORTING, this.name));
    try {
      await Deno.rename(target, aside);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    await Deno.remove(aside, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    own.delete(this.path);
    await removeFolder(this.path);
  }
}

/**
 * Clears up after imports that were killed: what can be gone on from is put aside, and all else removed, as is what
 * nobody has come back for.
 *
 * @throws {DatasetError} `storage`
 */
export async function clearAbandonedStaging(root: string): Promise<void> {
  for (const { path, prefix, name, owner } of await stagingFolders(root)) {
    if (own.has(path)) continue;
    if (prefix === INTERRUPTED) {
      if (await isUntouched(path, KEPT_MS)) await removeFolder(path);
      continue;
    }
    const patience = owner === Deno.pid ? ABANDONED_HERE_MS : ABANDONED_MS;
    if (isAlive(owner) && !(await isUntouched(path, patience))) continue;
    if (await isThere(join(path, JOURNAL_FILE))) await moveFolder(path, join(root, folderName(INTERRUPTED, name)));
    else await removeFolder(path);
  }
}

interface FoundFolder {
  readonly path: string;
  readonly prefix: string;
  /** The data set's. */
  readonly name: string;
  /** A process. */
  readonly owner: number;
}

async function stagingFolders(root: string): Promise<FoundFolder[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(root));
    return entries.flatMap((entry) => {
      const [, prefix, name, owner] = PATTERN.exec(entry.name) ?? [];
      return prefix === undefined ? [] : [{ path: join(root, entry.name), prefix, name, owner: Number(owner) }];
    });
  } catch (error) {
    if (isNotFound(error)) return [];
    throw asStorageError(error, "Cannot read the folder of data sets");
  }
}

function folderName(prefix: string, name: string): string {
  return `${prefix}${name}-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`;
}

/** @returns false where it is no longer there: another import was faster */
async function moveFolder(from: string, to: string): Promise<boolean> {
  try {
    await Deno.rename(from, to);
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw asStorageError(error, "Cannot keep a half-written data set");
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
async function isUntouched(folder: string, milliseconds: number): Promise<boolean> {
  try {
    const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
    const times = await Promise.all(["", ...names].map(async (name) => (await Deno.lstat(join(folder, name))).mtime));
    return Date.now() - Math.max(...times.map((time) => time?.getTime() ?? 0)) > milliseconds;
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

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
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
