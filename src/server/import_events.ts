/** An import as a stream. */
import type { DatasetDescription, ImageSize, ImportReport } from "../data/mod.ts";
import type { Catalog } from "./catalog.ts";

export type ImportEvent =
  | { readonly kind: "progress"; readonly done: number; readonly total: number }
  | { readonly kind: "report"; readonly report: ImportReport; readonly classNames: readonly string[] }
  | { readonly kind: "dataset"; readonly dataset: DatasetDescription };

export interface ImportSource {
  readonly name: string;
  /** A path that the server may read. */
  readonly source: string;
  readonly streamed: boolean;
  readonly image?: ImageSize;
  readonly sha256?: string;
  readonly classNames?: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * The newest progress whenever it is asked for, then the report and the data set. Leaving it ends the import.
 * @throws {DatasetError}
 */
export async function* importEvents(catalog: Catalog, options: ImportSource): AsyncGenerator<ImportEvent> {
  const { name, source, streamed, image, sha256, classNames } = options;
  const left = new AbortController();
  let newest: ImportEvent | undefined;
  let report: ImportReport | undefined;
  let news = Promise.withResolvers<void>();
  const imported = catalog.importDataset(name, source, {
    streamed,
    image,
    sha256,
    classNames,
    onReport: (told) => {
      report = told;
    },
    signal: AbortSignal.any([options.signal, left.signal]),
    onProgress(done, total) {
      newest = { kind: "progress", done, total };
      news.resolve();
    },
  });
  let ended = false;
  imported.catch(() => {}).finally(() => {
    ended = true;
    news.resolve();
  });
  try {
    while (!ended) {
      await news.promise;
      news = Promise.withResolvers();
      if (newest && !ended) yield newest;
    }
    const dataset = await imported;
    if (report) yield { kind: "report", report, classNames: dataset.classNames };
    yield { kind: "dataset", dataset };
  } finally {
    left.abort();
  }
}
