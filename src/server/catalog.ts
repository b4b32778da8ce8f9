/** What there is to train and to train on, as the services see it; tests give their own. */
import {
  type DatasetDescription,
  DatasetRegistry,
  type DatasetSample,
  type ImageSize,
  type ImportReport,
  type SampleOptions,
  type TransferredSource,
} from "../data/mod.ts";
import {
  describeModel,
  describeScheme,
  type ModelDescription,
  modelFamilies,
  type ModelFamily,
  type ModelSpec,
  type SchemeDescription,
  schemeNames,
} from "../models/mod.ts";

export interface ImportOptions {
  /** Whether image files are kept as they are. */
  readonly streamed: boolean;
  /** What an image folder is scaled to; undefined: the reader's choice. */
  readonly image?: ImageSize;
  /** What the file's checksum must be; undefined: it is not looked at. */
  readonly sha256?: string;
  /** Undefined: the source's own. */
  readonly classNames?: readonly string[];
  readonly signal: AbortSignal;
  onReport(report: ImportReport): void;
  /** Of what is brought from elsewhere. */
  onBytes?(done: number, total: number): void;
  onProgress?(done: number, total: number): void;
}

export interface Catalog {
  modelFamilies(): readonly ModelFamily[];
  /** @throws {ModelError} */
  describeModel(spec: ModelSpec, input: ImageSize, classes: number): ModelDescription;
  describeSchemes(): Promise<readonly SchemeDescription[]>;
  listDatasets(): Promise<readonly DatasetDescription[]>;
  /** @throws {UnknownDatasetError} */
  describeDataset(name: string): Promise<DatasetDescription>;
  /** @throws {UnknownDatasetError} @throws {DatasetError} */
  sampleDataset(name: string, options: SampleOptions): Promise<DatasetSample>;
  /** @throws {DatasetError} */
  importDataset(name: string, source: string | TransferredSource, options: ImportOptions): Promise<DatasetDescription>;
}

/** The models of models/ and the data sets of a data folder. */
export function createCatalog(dataDir: string): Catalog {
  const datasets = new DatasetRegistry(dataDir);
  let schemes: Promise<readonly SchemeDescription[]> | undefined;
  return {
    modelFamilies,
    describeModel,
    describeSchemes: () => schemes ??= describeSchemes(),
    listDatasets: () => datasets.list(),
    describeDataset: (name) => datasets.describe(name),
    sampleDataset: (name, options) => datasets.sample(name, options),
    importDataset: (name, source, { image, ...options }) => datasets.import(name, source, { ...image, ...options }),
  };
}

/** They do not change, and take some tenths of a second to measure, with other work between them. */
async function describeSchemes(): Promise<SchemeDescription[]> {
  const described: SchemeDescription[] = [];
  for (const scheme of schemeNames) {
    described.push(describeScheme({ scheme }));
    await new Promise((resolve) => setTimeout(resolve));
  }
  return described;
}
