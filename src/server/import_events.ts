/** An import as a stream. */
import type { DatasetDescription, ImageSize, ImportReport, TransferredSource } from "../data/mod.ts";
import type { Catalog } from "./catalog.ts";

export type ImportEvent =
  | { readonly kind: "progress"; readonly images: Amount; readonly bytes: Amount }
  | { readonly kind: "report"; readonly report: ImportReport; readonly classNames: readonly string[] }
  | { readonly kind: "dataset"; readonly dataset: DatasetDescription };

/** Of images, or of bytes that are fetched. */
interface Amount {
  readonly done: number;
  /** 0: not known. */
  readonly total: number;
}

export interface ImportSource {
  readonly name: string;
  /** A path that the server may read, or what it may fetch. */
  readonly source: string | TransferredSource;
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
  let [images, bytes]: Amount[] = [{ done: 0, total: 0 }, { done: 0, total: 0 }];
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
    onBytes(done, total) {
      bytes = { done, total };
      tell();
    },
    onProgress(done, total) {
      images = { done, total };
      tell();
    },
  });
  function tell(): void {
    newest = { kind: "progress", images, bytes };
    news.resolve();
  }
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
