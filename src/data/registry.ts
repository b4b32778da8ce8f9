import { join } from "node:path";
import { openDataset } from "./cache/open_dataset.ts";
import type { PackedDataset } from "./cache/packed_reader.ts";
import { packDataset } from "./cache/packed_writer.ts";
import { type DatasetSample, sampleDataset, type SampleOptions } from "./cache/sample.ts";
import type { StreamedDataset, StreamedSplit } from "./cache/streamed_reader.ts";
import { clearAbandonedStaging, StagingFolder } from "./cache/staging.ts";
import type { DatasetDescription, ImageSource, LabelledImages, Split } from "./dataset.ts";
import { asStorageError, DatasetError, isNotFound, UnknownDatasetError } from "./errors.ts";
import { importDataset, type ImportOptions, nameTaken } from "./import_dataset.ts";
import { MNIST_ORIGIN, openMnist } from "./readers/mnist.ts";
import type { TransferredSource } from "./transfer/transferred_source.ts";

interface BuiltIn {
  /** A packed copy of another origin is out of date. */
  readonly origin: string;
  open(): Promise<ImageSource>;
}

const BUILT_IN: ReadonlyMap<string, BuiltIn> = new Map([["mnist", { origin: MNIST_ORIGIN, open: openMnist }]]);

const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;
const NAME_RULE = "must be 1 to 64 lower-case letters, digits and hyphens, and not begin with a hyphen";

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
   * whole: failed, aborted or killed, it leaves no data set. Of image files, an import that was aborted or killed goes on
   * where it was when it is asked for again with the same source and options.
   *
   * @param source a path, or what is first to be brought; what may be imported is for the caller to decide
   * @throws {DatasetError} `invalid`, `exists`, `storage` or `unavailable`
   */
  async import(
    name: string,
    source: string | TransferredSource,
    options: ImportOptions = {},
  ): Promise<DatasetDescription> {
    if (!NAME.test(name)) {
      throw new DatasetError("invalid", `Cannot import as "${name.slice(0, 80)}": the name ${NAME_RULE}`);
    }
    options.signal?.throwIfAborted();
    if ((await this.#names()).includes(name)) throw nameTaken(name);
    return await importDataset({ root: this.#root, name, source }, options);
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
    await clearAbandonedStaging(this.#root);
    const staging = await StagingFolder.create(this.#root, name);
    try {
      await packDataset(await open(), staging.path, { name, origin, signal: new AbortController().signal });
      return staging;
    } catch (error) {
      await staging[Symbol.asyncDispose]();
      throw error;
    }
  }
}
