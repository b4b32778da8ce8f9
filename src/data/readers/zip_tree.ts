import type { Readable } from "node:stream";
import { crc32 } from "node:zlib";
// @ts-types="@types/yauzl"
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from "yauzl";
import { asSourceError, DatasetError } from "../errors.ts";
import { compareCodePoints, type FileTree, type TreeEntry } from "./file_tree.ts";
import { checkRatio } from "./bomb.ts";
import { checkMemberName } from "./member_name.ts";

/** Members are held in memory, at about a kilobyte each; ImageNet has 1.3 million. */
const MAX_MEMBERS = 4_000_000;
/** Unix's file type in the upper half of the external attributes. */
const SYMBOLIC_LINK = 0o12;
const STORED = 0;
const DEFLATED = 8;

export interface ZipEntry extends TreeEntry {
  /** Of a folder. */
  readonly children?: Map<string, ZipEntry>;
  /** Of a file. */
  readonly member?: Entry;
}

interface ArchiveContext {
  readonly title: string;
  readonly signal: AbortSignal;
}

/**
 * The files of a zip archive, read where they lie: nothing is unpacked to the disk. A folder that wraps everything else
 * is passed over.
 */
export class ZipTree implements FileTree<ZipEntry>, Disposable {
  readonly #archive: ZipFile;
  readonly #root: ZipEntry = folderEntry("", "");

  private constructor(archive: ZipFile) {
    this.#archive = archive;
  }

  /**
   * Reads an archive's list of members.
   *
   * @param title how messages name the archive
   * @throws {DatasetError} where it is damaged, a bomb, has a member twice, or one outside its own folder
   */
  static async open(path: string, { title, signal }: ArchiveContext): Promise<ZipTree> {
    // Names are decoded and checked here, so that the message can be ours.
    const options = { autoClose: false, decodeStrings: false };
    const archive = await ofArchive({ title, signal }, () => openPromise(path, options));
    const tree = new ZipTree(archive);
    try {
      await tree.#readMembers({ title, signal });
      return tree;
    } catch (error) {
      archive.close();
      throw error;
    }
  }

  async #readMembers({ title, signal }: ArchiveContext): Promise<void> {
    const archive = this.#archive;
    if (archive.entryCount > MAX_MEMBERS) {
      throw new DatasetError(
        "invalid",
        `Archive ${title} has ${archive.entryCount} members: at most ${MAX_MEMBERS} are accepted`,
      );
    }
    let bytes = 0;
    await ofArchive({ title, signal }, async () => {
      for await (const entry of archive.eachEntry()) {
        signal.throwIfAborted();
        const name = getFileNameLowLevel(entry.generalPurposeBitFlag, entry.fileNameRaw, entry.extraFields, false);
        checkMemberName(name);
        checkRatio(`${title}: ${name}`, entry.uncompressedSize, entry.compressedSize);
        bytes += entry.uncompressedSize;
        this.#insert(name, entry);
      }
    });
    checkRatio(title, bytes, archive.fileSize);
  }

  list(folder: ZipEntry = this.#top()): Promise<ZipEntry[]> {
    const visible = childrenOf(folder).filter(({ name }) => !name.startsWith("."));
    return Promise.resolve(visible.sort((a, b) => compareCodePoints(a.name, b.name)));
  }

  async read(file: ZipEntry, limit: number): Promise<Uint8Array | string> {
    if (!file.member) return "a folder";
    const entry = file.member;
    if (entry.uncompressedSize > limit) return `larger than ${limit} bytes`;
    if (entry.isEncrypted()) return "is encrypted";
    if (entry.externalFileAttributes >>> 28 === SYMBOLIC_LINK) return "is a symbolic link";
    if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
      return `is compressed by method ${entry.compressionMethod}: only stored and deflated members can be read`;
    }
    try {
      const bytes = await readAll(await this.#archive.openReadStreamPromise(entry), entry.uncompressedSize);
      return crc32(bytes) === entry.crc32 ? bytes : "is damaged in the archive: its checksum is wrong";
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (error.message.startsWith("too many bytes")) {
        throw new DatasetError("invalid", `Archive has a member that is longer than it says: ${file.path}`, {
          cause: error,
        });
      }
      return `is damaged in the archive: ${error.message}`;
    }
  }

  [Symbol.dispose](): void {
    this.#archive.close();
  }

  #top(): ZipEntry {
    const [only, ...others] = childrenOf(this.#root).filter(({ name }) => !isMacMetadata(name));
    const isWrapper = others.length === 0 && only?.kind === "folder" && only.name !== "train";
    return isWrapper ? only : this.#root;
  }

  #insert(name: string, member: Entry): void {
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.length === 0) return;
    const isFolder = name.endsWith("/");
    let at = this.#root;
    parts.forEach((part, i) => {
      const path = parts.slice(0, i + 1).join("/");
      const isLast = i === parts.length - 1;
      const known = at.children?.get(part);
      if (known && (known.kind === "file" || (isLast && !isFolder))) {
        throw new DatasetError("invalid", `Archive has ${JSON.stringify(path.slice(0, 200))} twice`);
      }
      const entry = known ??
        (isLast && !isFolder ? { name: part, path, kind: "file", member } : folderEntry(part, path));
      at.children?.set(part, entry);
      at = entry;
    });
  }
}

function folderEntry(name: string, path: string): ZipEntry {
  return { name, path, kind: "folder", children: new Map() };
}

function childrenOf(folder: ZipEntry): ZipEntry[] {
  return [...folder.children?.values() ?? []];
}

/** The folder that macOS adds to the archives it makes. */
function isMacMetadata(name: string): boolean {
  return name === "__MACOSX";
}

/** The library sees to it that no more than the length comes. */
async function readAll(stream: Readable, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  for await (const chunk of stream) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}

async function ofArchive<T>({ title, signal }: ArchiveContext, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (signal.aborted) throw error;
    const known = asSourceError(error, title);
    if (known !== error || error instanceof DatasetError || !(error instanceof Error)) throw known;
    throw new DatasetError("invalid", `Archive ${title} is truncated or damaged: ${firstClause(error.message)}`, {
      cause: error,
    });
  }
}

/** "end of central directory record signature not found", without the advice that follows. */
function firstClause(message: string): string {
  const [clause] = message.split(". ");
  return `${clause.slice(0, 1).toLowerCase()}${clause.slice(1)}`;
}
