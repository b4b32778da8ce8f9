/** What travels between a `BatchPreparer` and the thread that prepares its batches. */
import type { DatasetErrorKind } from "../errors.ts";
import type { ImageSize, Split } from "../dataset.ts";
import type { View } from "./prepared_batches.ts";

/** One pass over images of a split. */
export interface StreamRequest {
  /** Indices in the split, batch after batch. */
  readonly order: Uint32Array<ArrayBuffer>;
  /** The last batch may be smaller. */
  readonly batchSize: number;
  readonly size: ImageSize;
  readonly view: View;
  /** Images decoded at a time. */
  readonly inFlight: number;
  /** Batches that are being prepared, wait or are being used, together. */
  readonly depth: number;
}

export type ToWorker =
  | { readonly kind: "open"; readonly dataDir: string; readonly name: string; readonly split: Split }
  /** Ends the stream before it. */
  | { readonly kind: "start"; readonly stream: number; readonly request: StreamRequest }
  /** A batch's buffer comes back to be used again. */
  | { readonly kind: "used"; readonly stream: number; readonly buffer: ArrayBuffer }
  | { readonly kind: "stop" }
  | { readonly kind: "close" };

export type FromWorker =
  | {
    readonly kind: "batch";
    readonly stream: number;
    readonly indices: Uint32Array<ArrayBuffer>;
    readonly labels: Uint32Array<ArrayBuffer>;
    readonly buffer: ArrayBuffer;
  }
  | { readonly kind: "end"; readonly stream: number }
  /** `error`: of a data set; undefined: something else, to be told by its message. */
  | {
    readonly kind: "failed";
    readonly stream: number;
    readonly message: string;
    readonly error?: DatasetErrorKind;
  }
  | { readonly kind: "closed" };
