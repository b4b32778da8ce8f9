import { join } from "node:path";
import { openDataset } from "./cache/open_dataset.ts";
import type { PackedDataset } from "./cache/packed_reader.ts";
import { packDataset } from "./cache/packed_writer.ts";
import { type DatasetSample, sampleDataset, type SampleOptions } from "./cache/sample.ts";
import type { StreamedDataset, StreamedSplit } from "./cache/streamed_reader.ts";
import { writeStreamedDataset } from "./cache/streamed_writer.ts";
import { removeAbandonedStaging, StagingFolder } from "./cache/staging.ts";
import type { DatasetDescription, ImageSize, ImageSource, ImportReport, LabelledImages, Split } from "./dataset.ts";
import { asStorageError, DatasetError, isNotFound, UnknownDatasetError } from "./errors.ts";
import { targetSizeProblem } from "./images/limits.ts";
import { verifyChecksum } from "./readers/checksum.ts";
import { openSource } from "./readers/detect.ts";
import { MNIST_ORIGIN, openMnist } from "./readers/mnist.ts";

interface BuiltIn {
  /** A packed copy of another origin is out of date. */
  readonly origin: string;
  open(): Promise<ImageSource>;
}

const BUILT_IN: ReadonlyMap<string, BuiltIn> = new Map([["mnist", { origin: MNIST_ORIGIN, open: openMnist }]]);

const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;
const NAME_RULE = "must be 1 to 64 lower-case letters, digits and hyphens, and not begin with a hyphen";
const ORIGIN = "import";

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
  /** Aborted: the import stops, leaves nothing behind and throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Which folders of an image folder are the classes, in this order; for other sources the names of 0, 1, 2, ... */
  readonly classNames?: readonly string[];
  /** Hexadecimal; a file with another checksum is refused. Not for folders. */
  readonly sha256?: string;
  /** Told once, before the import ends well. */
  onReport?(report: ImportReport): void;
  /** Images done and in all. */
  onProgress?(done: number, total: number): void;
}

/** What image files become where nothing else is said: as small as CIFAR's, or as ImageNet's are used. */
const PACKED_SIZE: ImageSize = { height: 32, width: 32, channels: 3 };
const STREAMED_SIZE: ImageSize = { height: 224, width: 224, channels: 3 };

/**
 * The data sets of a data folder: the built-in ones, packed when first asked for, and those imported. Each lies in
 * `datasets/<name>`. Several registries, in several threads, may use one data folder.
 */
export class DatasetRegistry {
  readonly #root: string;
  /** Built-in data sets that are being opened or packed. */
  readonly #opening = new Map<string, Promise<PackedDataset>>();

  constructor(dataDir: string) {
    this.#root = join(dataDir, "datasets");
  }

  /**
   * All data sets that are whole, by name; `describe` tells what is wrong with another.
   *
   * @throws {DatasetError} `storage`
   */
  async list(): Promise<DatasetDescription[]> {
    const descriptions: DatasetDescription[] = [];
    for (const name of await this.#names()) {
      try {
        descriptions.push(await this.describe(name));
      } catch (error) {
        const isDamaged = error instanceof DatasetError && error.kind === "damaged";
        const isGone = error instanceof UnknownDatasetError;
        if (!isDamaged && !isGone) throw error;
      }
    }
    return descriptions;
  }

  /**
   * @throws {UnknownDatasetError}
   * @throws {DatasetError} `damaged` or `storage`
   */
  async describe(name: string): Promise<DatasetDescription> {
    return (await this.#open(name)).manifest.description;
  }

  /**
   * Reads all of a split of a packed data set into memory. A built-in data set that turns out damaged is packed again.
   *
   * @throws {UnknownDatasetError}
   * @throws {DatasetError} `invalid` for a streamed data set, `damaged` or `storage`
   */
  async load(name: string, split: Split): Promise<LabelledImages> {
    const packed = await this.#open(name);
    if (packed.kind !== "packed") {
      throw new DatasetError("invalid", `Cannot load data set "${name}" into memory: it is streamed`);
    }
    const builtIn = BUILT_IN.get(name);
    try {
      return await packed.load(split);
    } catch (error) {
      if (!builtIn || !(error instanceof DatasetError) || error.kind !== "damaged") throw error;
      await using staging = await this.#pack(name, builtIn);
      await staging.publish({ replace: true });
      return await (await this.#openBuiltIn(name, builtIn)).load(split);
    }
  }

  /**
   * The image files of a split of a streamed data set.
   *
   * @throws {UnknownDatasetError}
   * @throws {DatasetError} `invalid` for a packed data set, `damaged` or `storage`
   */
  async openStreamed(name: string, split: Split): Promise<StreamedSplit> {
    const dataset = await this.#open(name);
    if (dataset.kind === "streamed") return await dataset.openSplit(split);
    throw new DatasetError("invalid", `Cannot stream data set "${name}": it is packed`);
  }

  /**
   * How a data set's images are spread over its classes, and images of each as PNG files.
   *
   * @throws {UnknownDatasetError}
   * @throws {DatasetError} `damaged` or `storage`
   */
  async sample(name: string, options: SampleOptions): Promise<DatasetSample> {
    return await sampleDataset(await this.#open(name), options);
  }

  /**
   * Imports a file or folder (see `openSource` for what is accepted) under a new name. It is registered when it is
   * whole: failed, aborted or killed, it leaves no data set.
   *
   * @param source a path; whose paths may be imported is for the caller to decide
   * @throws {DatasetError} `invalid`, `exists` or `storage`
   */
  async import(name: string, source: string, options: ImportOptions = {}): Promise<DatasetDescription> {
    if (!NAME.test(name)) {
      throw new DatasetError("invalid", `Cannot import as "${name.slice(0, 80)}": the name ${NAME_RULE}`);
    }
    const size = checkedSize(name, options);
    const signal = options.signal ?? new AbortController().signal;
    signal.throwIfAborted();
    await this.#checkFree(name);
    await removeAbandonedStaging(this.#root);

    await using staging = await StagingFolder.create(this.#root, name);
    const scratch = join(staging.path, "unpacked");
    await inStorage(name, () => Deno.mkdir(scratch));
    if (options.sha256 !== undefined) await verifyChecksum(source, options.sha256, signal);
    using resources = new DisposableStack();
    const images = await openSource(source, {
      size,
      defaultSize: options.streamed ? STREAMED_SIZE : PACKED_SIZE,
      classNames: checkedClassNames(name, options.classNames),
      scratch,
      resources,
      signal,
    });
    const { onProgress } = options;
    const write = options.streamed ? writeStreamedDataset : packDataset;
    const { description, report } = await write(images, staging.path, {
      name,
      origin: ORIGIN,
      signal,
      onProgress,
    });
    await inStorage(name, () => Deno.remove(scratch, { recursive: true }));
    signal.throwIfAborted();
    if (!(await staging.publish({ replace: false }))) throw nameTaken(name);
    options.onReport?.(report);
    return description;
  }

  /** The built-in names and those of the folders, sorted. */
  async #names(): Promise<string[]> {
    const names = new Set(BUILT_IN.keys());
    try {
      for await (const entry of Deno.readDir(this.#root)) if (NAME.test(entry.name)) names.add(entry.name);
    } catch (error) {
      if (!isNotFound(error)) throw asStorageError(error, "Cannot read the folder of data sets");
    }
    return [...names].sort();
  }

  async #open(name: string): Promise<PackedDataset | StreamedDataset> {
    const builtIn = BUILT_IN.get(name);
    if (builtIn) return await this.#openBuiltIn(name, builtIn);
    const dataset = NAME.test(name) ? await openDataset(name, join(this.#root, name)) : undefined;
    if (!dataset) throw new UnknownDatasetError(name, await this.#names());
    return dataset;
  }

  #openBuiltIn(name: string, builtIn: BuiltIn): Promise<PackedDataset> {
    const underWay = this.#opening.get(name);
    if (underWay) return underWay;
    const opening = this.#openOrPack(name, builtIn).finally(() => this.#opening.delete(name));
    this.#opening.set(name, opening);
    return opening;
  }

  async #openOrPack(name: string, builtIn: BuiltIn): Promise<PackedDataset> {
    const current = await this.#openCurrent(name, builtIn);
    if (current) return current;
    await using staging = await this.#pack(name, builtIn);
    // Where another thread was faster, its copy does as well: they are equal byte for byte.
    if (!(await staging.publish({ replace: false })) && !(await this.#openCurrent(name, builtIn))) {
      await staging.publish({ replace: true });
    }
    const packed = await this.#openCurrent(name, builtIn);
    if (!packed) throw new DatasetError("storage", `Cannot find data set "${name}": it was removed while it was made`);
    return packed;
  }

  /** Undefined where it is missing, damaged or out of date. */
  async #openCurrent(name: string, { origin }: BuiltIn): Promise<PackedDataset | undefined> {
    try {
      const packed = await openDataset(name, join(this.#root, name));
      return packed?.kind === "packed" && packed.manifest.origin === origin ? packed : undefined;
    } catch (error) {
      if (error instanceof DatasetError && error.kind === "damaged") return undefined;
      throw error;
    }
  }

  async #pack(name: string, { origin, open }: BuiltIn): Promise<StagingFolder> {
    await removeAbandonedStaging(this.#root);
    const staging = await StagingFolder.create(this.#root, name);
    try {
      await packDataset(await open(), staging.path, { name, origin, signal: new AbortController().signal });
      return staging;
    } catch (error) {
      await staging[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #checkFree(name: string): Promise<void> {
    if ((await this.#names()).includes(name)) throw nameTaken(name);
  }
}

function nameTaken(name: string): DatasetError {
  return new DatasetError("exists", `Cannot import as "${name}": there is a data set of that name`);
}

function checkedClassNames(name: string, names: readonly string[] | undefined): readonly string[] | undefined {
  const twice = names?.find((className, i) => names.indexOf(className) !== i);
  if (twice === undefined) return names;
  throw new DatasetError("invalid", `Cannot import as "${name}": the class list has ${JSON.stringify(twice)} twice`);
}

/** The parts that were given. */
function checkedSize(name: string, { height, width, channels }: ImportOptions): Partial<ImageSize> {
  const problem = targetSizeProblem({ height: height ?? 1, width: width ?? 1, channels: channels ?? 1 });
  if (problem) throw new DatasetError("invalid", `Cannot import as "${name}": ${problem}`);
  return {
    ...(height !== undefined && { height }),
    ...(width !== undefined && { width }),
    ...((channels === 1 || channels === 3) && { channels }),
  };
}

async function inStorage<T>(name: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw asStorageError(error, `Cannot write data set "${name}"`);
  }
}
