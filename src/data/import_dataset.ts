/** One import: from a source to a data set with its name, all of it or nothing. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ImportJournal, JOURNAL_FILE } from "./cache/import_journal.ts";
import { packDataset } from "./cache/packed_writer.ts";
import { clearAbandonedStaging, StagingFolder } from "./cache/staging.ts";
import { writeStreamedDataset } from "./cache/streamed_writer.ts";
import type { DatasetDescription, ImageSize, ImportReport } from "./dataset.ts";
import { asStorageError, DatasetError, isNotFound } from "./errors.ts";
import { targetSizeProblem } from "./images/limits.ts";
import { verifyChecksum } from "./readers/checksum.ts";
import { openSource } from "./readers/detect.ts";
import { fingerprintOf } from "./readers/fingerprint.ts";
import type { TransferredSource } from "./transfer/transferred_source.ts";

export interface ImportOptions {
  /**
   * Whether image files are kept as they are, and decoded and cropped as they are used; else their pixels are packed.
   */
  readonly streamed?: boolean;
  /**
   * What images of an image folder are scaled to, whatever their proportions; default 32x32x3. Of a streamed data set,
   * what is cut out of images unless training is told otherwise; default 224x224x3.
   */
  readonly height?: number;
  readonly width?: number;
  readonly channels?: number;
  /** Aborted: the import stops, leaves no data set and throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Which folders of an image folder are the classes, in this order; for other sources the names of 0, 1, 2, ... */
  readonly classNames?: readonly string[];
  /** Hexadecimal; a file with another checksum is refused. Not for folders. */
  readonly sha256?: string;
  /** Milliseconds between two states that a killed import can go on from; default 5,000. */
  readonly journalInterval?: number;
  /** Told once, before the import ends well. */
  onReport?(report: ImportReport): void;
  /** Bytes of the source that were brought and that will be; 0: not known. */
  onBytes?(done: number, total: number): void;
  /** Images done and in all. */
  onProgress?(done: number, total: number): void;
}

/** What image files become where nothing else is said: as small as CIFAR's, or as ImageNet's are used. */
const PACKED_SIZE: ImageSize = { height: 32, width: 32, channels: 3 };
const STREAMED_SIZE: ImageSize = { height: 224, width: 224, channels: 3 };

const ORIGIN = "import";
const JOURNAL_INTERVAL = 5_000;
/** Folders in the staging folder: of what is unpacked, and of what was brought. */
const SCRATCH = "unpacked";
const BROUGHT = "source";

export interface ImportTask {
  /** The folder of data sets. */
  readonly root: string;
  /** Free when the import began; whether it still is when it ends is found out then. */
  readonly name: string;
  readonly source: string | TransferredSource;
}

/** @throws {DatasetError} `invalid`, `exists`, `storage` or `unavailable`; the signal's reason */
export async function importDataset(task: ImportTask, options: ImportOptions): Promise<DatasetDescription> {
  const { root, name, source } = task;
  checkOptions(name, options);
  const signal = options.signal ?? new AbortController().signal;
  await clearAbandonedStaging(root);
  const fingerprint = await importFingerprint(source, options, signal);
  const interrupted = fingerprint === undefined
    ? undefined
    : await StagingFolder.takeOver(root, name, (path) => ImportJournal.fits(path, fingerprint));
  await using staging = interrupted ?? await StagingFolder.create(root, name);
  const journal = fingerprint === undefined ? undefined : await ImportJournal.open(staging.path, {
    fingerprint,
    interval: options.journalInterval ?? JOURNAL_INTERVAL,
    task: `Cannot write data set "${name}"`,
  });
  try {
    return await importInto(staging, { ...task, signal, journal }, options);
  } catch (error) {
    const isPassing = signal.aborted || (error instanceof DatasetError && error.kind === "unavailable");
    if (isPassing && journal?.isWorthKeeping) await staging.leave();
    throw error;
  }
}

interface RunningTask extends ImportTask {
  readonly signal: AbortSignal;
  readonly journal?: ImportJournal;
}

async function importInto(
  staging: StagingFolder,
  { name, source: given, signal, journal }: RunningTask,
  options: ImportOptions,
): Promise<DatasetDescription> {
  const source = typeof given === "string" ? given : await bring(given, staging, { name, signal, journal }, options);
  const scratch = join(staging.path, SCRATCH);
  await inStorage(name, async () => {
    await removeIfThere(scratch);
    await Deno.mkdir(scratch);
  });
  if (options.sha256 !== undefined) await verifyChecksum(source, options.sha256, signal);
  using resources = new DisposableStack();
  const images = await openSource(source, {
    size: sizeOf(options),
    defaultSize: options.streamed ? STREAMED_SIZE : PACKED_SIZE,
    classNames: options.classNames,
    scratch,
    resources,
    signal,
  });
  const { onProgress } = options;
  const write = options.streamed ? writeStreamedDataset : packDataset;
  const written = await write(images, staging.path, { name, origin: ORIGIN, signal, journal, onProgress });
  await inStorage(name, async () => {
    for (const part of [SCRATCH, BROUGHT, JOURNAL_FILE]) await removeIfThere(join(staging.path, part));
  });
  signal.throwIfAborted();
  if (!(await staging.publish({ replace: false }))) throw nameTaken(name);
  options.onReport?.(written.report);
  return written.description;
}

async function bring(
  source: TransferredSource,
  { path }: StagingFolder,
  { name, signal, journal }: Omit<RunningTask, "root" | "source">,
  { onBytes }: ImportOptions,
): Promise<string> {
  await journal?.claim();
  const folder = join(path, BROUGHT);
  await inStorage(name, () => Deno.mkdir(folder, { recursive: true }));
  return await source.bring(folder, { signal, onBytes });
}

export function nameTaken(name: string): DatasetError {
  return new DatasetError("exists", `Cannot import as "${name}": there is a data set of that name`);
}

/** Of all that decides what an import writes. Undefined: there is no telling, and so no going on. */
async function importFingerprint(
  source: string | TransferredSource,
  { streamed, height, width, channels, classNames, sha256 }: ImportOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const origin = typeof source === "string" ? await fingerprintOf(source, signal) : source.identity;
  if (origin === undefined) return undefined;
  const facts = [origin, streamed === true, height, width, channels, classNames, sha256?.toLowerCase()];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}

/** @throws {DatasetError} */
function checkOptions(name: string, { classNames, height, width, channels }: ImportOptions): void {
  const problem = targetSizeProblem({ height: height ?? 1, width: width ?? 1, channels: channels ?? 1 });
  if (problem) throw new DatasetError("invalid", `Cannot import as "${name}": ${problem}`);
  const twice = classNames?.find((className, i) => classNames.indexOf(className) !== i);
  if (twice === undefined) return;
  throw new DatasetError("invalid", `Cannot import as "${name}": the class list has ${JSON.stringify(twice)} twice`);
}

/** The parts that were given. */
function sizeOf({ height, width, channels }: ImportOptions): Partial<ImageSize> {
  return {
    ...(height !== undefined && { height }),
    ...(width !== undefined && { width }),
    ...((channels === 1 || channels === 3) && { channels }),
  };
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function inStorage<T>(name: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw asStorageError(error, `Cannot write data set "${name}"`);
  }
}
