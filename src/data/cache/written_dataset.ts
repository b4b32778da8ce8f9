import type { ImportJournal } from "./import_journal.ts";
import type { DatasetDescription, ImportReport } from "../dataset.ts";

/** How a source is written as a data set, packed or streamed. */
export interface WriteOptions {
  readonly name: string;
  readonly origin: string;
  readonly signal: AbortSignal;
  /** Where the progress is kept, and what is gone on from; absent: nothing is, an interrupted import starts anew. */
  readonly journal?: ImportJournal;
  /** Images done and in all, over both splits. */
  onProgress?(done: number, total: number): void;
}

export interface WrittenDataset {
  readonly description: DatasetDescription;
  readonly report: ImportReport;
}
