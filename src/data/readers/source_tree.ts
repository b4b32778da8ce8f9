import { basename, join, sep } from "node:path";
import { asSourceError, DatasetError } from "../errors.ts";
import { compareCodePoints, type FileTree, type TreeEntry } from "./file_tree.ts";

export interface SourceEntry extends TreeEntry {
  /** Where it really lies, symbolic links followed. */
  readonly realPath: string;
}

/**
 * A folder that is being imported. Symbolic links may lead to other places of the same tree only: whoever may import
 * a folder must not reach through it what lies elsewhere.
 */
export class SourceTree implements FileTree<SourceEntry> {
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

  async read(file: SourceEntry, limit: number): Promise<Uint8Array | string> {
    return await ofSource(file.path, async () => {
      const { size } = await Deno.stat(file.realPath);
      return size > limit ? `larger than ${limit} bytes` : await Deno.readFile(file.realPath);
    });
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
