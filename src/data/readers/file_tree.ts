/** Folders and files of a source, wherever they lie: on the disk or in an archive. */

export interface TreeEntry {
  readonly name: string;
  /** From the tree's root, with forward slashes; for messages. */
  readonly path: string;
  readonly kind: "file" | "folder";
}

export interface FileTree<E extends TreeEntry> {
  /**
   * What a folder holds (without one: the root), in code-point order of the names. Names that begin with a dot are
   * left out.
   *
   * @throws {DatasetError}
   */
  list(folder?: E): Promise<E[]>;
  /**
   * All of a file.
   *
   * @param limit bytes it may have
   * @returns a string where it cannot be taken: why, fit to stand after "x.png: "
   * @throws {DatasetError} where the whole source cannot be taken
   */
  read(file: E, limit: number): Promise<Uint8Array | string>;
}

/** The order in which Python sorts strings. JavaScript's own differs past U+FFFF, which UTF-16 writes as surrogates. */
export function compareCodePoints(a: string, b: string): number {
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
