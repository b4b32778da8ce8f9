import type { DatasetDescription, ImportReport } from "../dataset.ts";

/** How a source is written as a data set, packed or streamed. */
export interface WriteOptions {
  readonly name: string;
  readonly origin: string;
  readonly signal: AbortSignal;
  /** Images done and in all, over both splits. */
  onProgress?(done: number, total: number): void;
}

export interface WrittenDataset {
  readonly description: DatasetDescription;
  readonly report: ImportReport;
}
