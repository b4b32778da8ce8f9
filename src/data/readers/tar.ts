/** Reads tar archives (POSIX ustar, with the pax and GNU extensions for long names) as a stream. */
import { DatasetError } from "../errors.ts";
import { checkMemberName } from "./member_name.ts";

const BLOCK = 512;
/** Of an extended header; a longer one is an attack or garbage. */
const MAX_EXTENSION_BYTES = 64 * 1024;

export interface TarMember {
  /** As the archive has it: relative, without "..", or the archive is refused. */
  readonly name: string;
  readonly size: number;
  readonly isFile: boolean;
  /** Where the content begins, in bytes of the input. */
  readonly offset: number;
  /** The content, to be read before the next member is asked for; what is not read is skipped. */
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * The members in the archive's order. Memory: one chunk of the input.
 *
 * @throws {DatasetError} where the archive is damaged, ends early, or has a member outside its own folder
 */
export async function* readTar(input: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  await using bytes = new ByteReader(input);
  let extended: Extension = {};
  for (;;) {
    const block = await bytes.take(BLOCK);
    if (block.every((byte) => byte === 0)) return;
    const header = parseHeader(block);
    if (header.type === "x" || header.type === "L") {
      const extension = await readExtension(bytes, header.size);
      extended = { ...extended, ...(header.type === "L" ? { name: untilZero(extension) } : parsePax(extension)) };
      continue;
    }
    const { name, size } = { ...header, ...extended };
    extended = {};
    checkMemberName(name);
    let left = size;
    const content = async function* () {
      while (left > 0) {
        const chunk = await bytes.some(left);
        left -= chunk.length;
        yield chunk;
      }
    };
    // Types: "0" and the old zero byte are files, "7" is a contiguous one.
    yield { name, size, isFile: ["0", "\0", "7"].includes(header.type), offset: bytes.position, content: content() };
    await bytes.skip(left + padding(size));
  }
}

/** Members begin at whole blocks. */
function padding(size: number): number {
  return (BLOCK - size % BLOCK) % BLOCK;
}

/** What an extended header says of the member after it. */
interface Extension {
  readonly name?: string;
  readonly size?: number;
}

interface Header {
  readonly name: string;
  readonly size: number;
  readonly type: string;
}

/** Whether a block is a header: its checksum is right. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.length < BLOCK) return false;
  // The checksum field itself counts as spaces.
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i];
  return sum === octal(block.subarray(148, 156));
}

function parseHeader(block: Uint8Array): Header {
  if (!isTarHeader(block)) throw new DatasetError("invalid", "Archive is damaged: a header's checksum is wrong");
  const size = checkSize(parseSize(block.subarray(124, 136)));
  // GNU's own format has "ustar " there, and other things in place of the prefix.
  const isUstar = untilZero(block.subarray(257, 263)) === "ustar";
  const prefix = isUstar ? untilZero(block.subarray(345, 500)) : "";
  const name = untilZero(block.subarray(0, 100));
  return { name: prefix ? `${prefix}/${name}` : name, size, type: String.fromCharCode(block[156]) };
}

/** Octal digits, or GNU's big-endian binary behind a byte 0x80. */
function parseSize(field: Uint8Array): number {
  if (field[0] !== 0x80) return octal(field);
  return field.subarray(1).reduce((size, byte) => size * 256 + byte, 0);
}

function octal(field: Uint8Array): number {
  const digits = untilZero(field).trim();
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
}

function untilZero(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

/** Records "<length> <key>=<value>\n", the length in bytes and counting itself. */
function parsePax(extension: Uint8Array): Extension {
  const decoder = new TextDecoder();
  let found: Extension = {};
  for (let at = 0; at < extension.length;) {
    const length = parseInt(decoder.decode(extension.subarray(at, at + 20)), 10);
    const match = /^\d+ ([^=]*)=(.*)\n$/s.exec(decoder.decode(extension.subarray(at, at + length)));
    if (!match || at + length > extension.length) {
      throw new DatasetError("invalid", "Archive is damaged: an extended header is not whole");
    }
    const [, key, value] = match;
    if (key === "path") found = { ...found, name: value };
    if (key === "size") found = { ...found, size: checkSize(Number(value)) };
    at += length;
  }
  return found;
}

function checkSize(size: number): number {
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new DatasetError("invalid", "Archive is damaged: a member has no valid size");
}

async function readExtension(bytes: ByteReader, size: number): Promise<Uint8Array> {
  if (size > MAX_EXTENSION_BYTES) throw new DatasetError("invalid", `Archive has an extended header of ${size} bytes`);
  const extension = await bytes.take(size);
  await bytes.skip(padding(size));
  return extension;
}

/** Takes counted bytes out of chunks of any length. */
class ByteReader implements AsyncDisposable {
  readonly #input: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();
  #position = 0;

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input[Symbol.asyncIterator]();
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.#position;
  }

  /** At least one byte and at most so many: what lies ready, else the next chunk. */
  async some(limit: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#input.next();
      if (done) throw new DatasetError("invalid", "Archive is truncated: it ends before its end mark");
      this.#rest = value;
    }
    const taken = this.#rest.subarray(0, limit);
    this.#rest = this.#rest.subarray(taken.length);
    this.#position += taken.length;
    return taken;
  }

  async take(count: number): Promise<Uint8Array> {
    const taken = new Uint8Array(count);
    for (let filled = 0; filled < count;) {
      const chunk = await this.some(count - filled);
      taken.set(chunk, filled);
      filled += chunk.length;
    }
    return taken;
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0;) left -= (await this.some(left)).length;
  }

  /** Closes the input, read to its end or not. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.return?.();
  }
}
