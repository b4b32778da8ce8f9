import { createHash, type Hash } from "node:crypto";
import { DatasetError } from "../errors.ts";
import { type SourceEntry, SourceTree } from "./source_tree.ts";

/** Folders below each other that any reader looks into: the imported one, its splits, their classes. */
const DEEPEST = 3;
/** Files asked about at a time. */
const AT_A_TIME = 64;

/**
 * Tells whether a file or folder is still what it was: by the paths, lengths and times of change of all files.
 *
 * @returns undefined where something cannot be read; opening the source says what
 */
export async function fingerprintOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  const hash = createHash("sha256").update(path);
  try {
    const { isDirectory } = await Deno.stat(path);
    if (isDirectory) await addFolder(hash, { tree: await SourceTree.open(path), signal });
    else hash.update(await factsOf(path));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DatasetError || error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.PermissionDenied) return undefined;
    throw error;
  }
  return hash.digest("hex");
}

async function addFolder(
  hash: Hash,
  { tree, folder, depth = 1, signal }: {
    readonly tree: SourceTree;
    readonly folder?: SourceEntry;
    readonly depth?: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  signal.throwIfAborted();
  const entries = await tree.list(folder);
  const files = entries.filter(({ kind }) => kind === "file");
  for (let at = 0; at < files.length; at += AT_A_TIME) {
    const some = files.slice(at, at + AT_A_TIME);
    const facts = await Promise.all(some.map(({ realPath }) => factsOf(realPath)));
    some.forEach(({ path: name }, i) => hash.update(`\n${name}\0${facts[i]}`));
  }
  if (depth === DEEPEST) return;
  for (const entry of entries) {
    if (entry.kind === "folder") await addFolder(hash, { tree, folder: entry, depth: depth + 1, signal });
  }
}

async function factsOf(path: string): Promise<string> {
  const { size, mtime } = await Deno.stat(path);
  return `${size} ${mtime?.getTime()}`;
}
