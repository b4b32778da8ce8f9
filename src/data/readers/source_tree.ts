import { basename, join, sep } from "node:path";
import { asSourceError, DatasetError } from "../errors.ts";

export interface SourceEntry {
  readonly name: string;
  /** From the tree's root, with forward slashes; for messages. */
  readonly path: string;
  /** Where it really lies, symbolic links followed. */
  readonly realPath: string;
  readonly kind: "file" | "folder";
}

/**
 * A folder that is being imported. Symbolic links may lead to other places of the same tree only: whoever may import
 * a folder must not reach through it what lies elsewhere.
 */
export class SourceTree {
  private constructor(readonly root: SourceEntry) {}

  /** @param path may be a link itself. @throws {DatasetError} */
  static async open(path: string): Promise<SourceTree> {
    const realPath = await ofSource(path, () => Deno.realPath(path));
    return new SourceTree({ name: basename(realPath), path: "", realPath, kind: "folder" });
  }

  /**
   * What a folder of the tree holds, in code-point order of the names. Names that begin with a dot are left out, and
   * so is what is neither file nor folder.
   *
   * @throws {DatasetError} where it cannot be read, or a link leads out of the tree or nowhere
   */
  async list(folder: SourceEntry = this.root): Promise<SourceEntry[]> {
    const found = await ofSource(folder.path || folder.name, () => Array.fromAsync(Deno.readDir(folder.realPath)));
    const entries: SourceEntry[] = [];
    for (const { name, isFile, isDirectory, isSymlink } of found) {
      if (name.startsWith(".")) continue;
      const path = folder.path ? `${folder.path}/${name}` : name;
      if (isSymlink) {
        const entry = await this.#follow(name, path, join(folder.realPath, name));
        if (entry) entries.push(entry);
      } else if (isFile || isDirectory) {
        entries.push({ name, path, realPath: join(folder.realPath, name), kind: isFile ? "file" : "folder" });
      }
    }
    return entries.sort((a, b) => compareCodePoints(a.name, b.name));
  }

  async #follow(name: string, path: string, link: string): Promise<SourceEntry | undefined> {
    const realPath = await ofSource(path, () => Deno.realPath(link));
    if (!realPath.startsWith(this.root.realPath + sep)) {
      throw new DatasetError("invalid", `Cannot import ${path}: the symbolic link leads out of the imported folder`);
    }
    const { isFile, isDirectory } = await ofSource(path, () => Deno.stat(realPath));
    if (!isFile && !isDirectory) return undefined;
    return { name, path, realPath, kind: isFile ? "file" : "folder" };
  }
}

/** Reads something of a source; the error names it as the user would. */
export async function ofSource<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw asSourceError(error, path);
  }
}

/** The order in which Python sorts strings. JavaScript's own differs past U+FFFF, which UTF-16 writes as surrogates. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
