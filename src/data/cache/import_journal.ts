/**
 * `journal.json` in the folder of an import: whose it is, and how far it came. It is replaced whole every few seconds,
 * after the files that it tells of were synchronised with the disk, so that an import that is killed can be continued.
 */
import { join } from "node:path";
import { asStorageError, isNotFound } from "../errors.ts";
import type { WriteProgress, WriteState } from "./write_progress.ts";

export const JOURNAL_FILE = "journal.json";
const FORMAT = 1;

interface JournalRecord {
  readonly fingerprint: string;
  readonly state?: WriteState;
}

export interface JournalOptions {
  /** Of the source and the options: only an import that has the same may go on. */
  readonly fingerprint: string;
  /** Milliseconds between two states that are kept. */
  readonly interval: number;
  /** Cannot write ... */
  readonly task: string;
}

export class ImportJournal {
  #writtenAt = performance.now();
  #isWritten = false;

  private constructor(
    readonly folder: string,
    readonly options: JournalOptions,
    /** What the import goes on from. */
    readonly state?: WriteState,
  ) {}

  /** Of a new or a taken over folder. @throws {DatasetError} `storage` */
  static async open(folder: string, options: JournalOptions): Promise<ImportJournal> {
    return new ImportJournal(folder, options, (await readJournal(folder))?.state);
  }

  /** Whether the folder is one that an import with this fingerprint can go on in. */
  static async fits(folder: string, fingerprint: string): Promise<boolean> {
    const record = await readJournal(folder);
    if (record?.fingerprint !== fingerprint) return false;
    for (const [name, bytes] of Object.entries(record.state?.lengths ?? {})) {
      const size = await Deno.stat(join(folder, name)).then((found) => found.size, () => -1);
      if (size < bytes) return false;
    }
    return true;
  }

  /** Whether there is something to go on from. */
  get isWorthKeeping(): boolean {
    return this.#isWritten || this.state !== undefined;
  }

  /** Says whose the folder is, for what it holds besides the data set's files. @throws {DatasetError} `storage` */
  async claim(): Promise<void> {
    this.#isWritten = true;
    if (!this.state) await this.#write(formatRecord({ fingerprint: this.options.fingerprint }));
  }

  /** Keeps the state if that is due. @throws {DatasetError} `storage` */
  async note(progress: WriteProgress, files: readonly Synchronised[]): Promise<void> {
    if (performance.now() - this.#writtenAt >= this.options.interval) await this.keep(progress, files);
  }

  /** Keeps the state now. @throws {DatasetError} `storage` */
  async keep(progress: WriteProgress, files: readonly Synchronised[]): Promise<void> {
    const state = progress.state();
    if (!state) return;
    // Taken before the files go on.
    const text = formatRecord({ fingerprint: this.options.fingerprint, state });
    for (const file of files) await file.synchronise();
    await this.#write(text);
    this.#isWritten = true;
    this.#writtenAt = performance.now();
  }

  async #write(text: string): Promise<void> {
    const path = join(this.folder, JOURNAL_FILE);
    try {
      using file = await Deno.open(`${path}.new`, { write: true, create: true, truncate: true });
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
      await Deno.rename(`${path}.new`, path);
    } catch (error) {
      throw asStorageError(error, this.options.task);
    }
  }
}

/** A file whose bytes are on the disk when that settles. */
export interface Synchronised {
  synchronise(): Promise<void>;
}

function formatRecord(record: JournalRecord): string {
  return JSON.stringify({ format: FORMAT, ...record });
}

/** Undefined where there is none, or none that this version wrote whole. */
async function readJournal(folder: string): Promise<JournalRecord | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(folder, JOURNAL_FILE));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw asStorageError(error, "Cannot read the folder of an import");
  }
  try {
    const { format, ...record } = JSON.parse(text);
    return format === FORMAT ? record : undefined;
  } catch {
    return undefined;
  }
}
