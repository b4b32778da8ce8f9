import {
  BatchPreparer,
  imageBytes,
  type ImageSize,
  type PreparedBatch,
  type PreparedStream,
  type Preprocessing,
  type RandomResizedCrop,
  type StreamedSource,
  type View,
} from "../data/mod.ts";
import { IGNORED_LABEL, permutation } from "../gpu/mod.ts";
import type { BatchFeed, BatchRange } from "./batch_feed.ts";
import type { HostBatch } from "./batches.ts";
import { STEPS_IN_FLIGHT } from "./runner.ts";

/** Batches that are prepared, wait or are being sent: as many as are submitted at once, and the one before them. */
const DEPTH = STEPS_IN_FLIGHT + 1;
/** Images decoded at a time: a processor that is done with one finds the next at hand. */
const IN_FLIGHT = 2 * navigator.hardwareConcurrency;

interface FeedParts {
  readonly source: StreamedSource;
  readonly size: ImageSize;
  /** Images used: the split's first. */
  readonly count: number;
  readonly batchSize: number;
  readonly orderOf: (epoch: number) => Uint32Array<ArrayBuffer>;
  readonly viewOf: (epoch: number) => View;
  /** Whether batches are filled up to the batch size. */
  readonly filled: boolean;
  /** How many there are: at the end of each but the last, the next one is begun. 0: none is begun unasked. */
  readonly epochs: number;
}

export interface TrainingStream {
  readonly size: ImageSize;
  readonly count: number;
  readonly batchSize: number;
  readonly seed: number;
  /** Of the run. */
  readonly epochs: number;
  /** `off`: images are cropped as for evaluation. */
  readonly crop: RandomResizedCrop | "off";
  readonly preprocessing: Preprocessing;
}

export interface EvaluationStream {
  readonly size: ImageSize;
  readonly count: number;
  readonly batchSize: number;
  readonly preprocessing: Preprocessing;
}

/** Where a feed's batches come from at the moment. */
interface Stream {
  readonly epoch: number;
  /** The batch that comes next. */
  next: number;
  readonly batches: PreparedStream;
}

/**
 * Batches of image files, read, decoded and cropped on other threads some batches ahead: past the part of an epoch that
 * was asked for, and past its end.
 */
export class StreamedFeed implements BatchFeed<HostBatch> {
  readonly #parts: FeedParts;
  readonly #preparer: BatchPreparer;
  #stream: Stream | undefined;

  private constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#preparer = new BatchPreparer(parts.source);
  }

  /** Each epoch a random permutation, each image another part of it; the last batch may be smaller. */
  static shuffled(source: StreamedSource, { crop, preprocessing, seed, ...sizes }: TrainingStream): StreamedFeed {
    return new StreamedFeed({
      source,
      ...sizes,
      orderOf: (epoch) => permutation(sizes.count, { seed, epoch }),
      viewOf: (epoch) => crop === "off" ? preprocessing : { method: "random_resized_crop", crop, seed, epoch },
      filled: false,
    });
  }

  /** Every epoch in the split's order; the last batch is filled up with rows that do not count. */
  static sequential(source: StreamedSource, { preprocessing, ...sizes }: EvaluationStream): StreamedFeed {
    return new StreamedFeed({
      source,
      ...sizes,
      orderOf: () => Uint32Array.from({ length: sizes.count }, (_, i) => i),
      viewOf: () => preprocessing,
      filled: true,
      epochs: 0,
    });
  }

  begin(epoch: number, start: number): void {
    this.#streamAt(epoch, start);
  }

  async *batches(epoch: number, { start, count }: BatchRange, signal: AbortSignal): AsyncGenerator<HostBatch> {
    const last = Math.min(this.#batchesPerEpoch, start + count);
    if (start >= last) return;
    const stream = this.#streamAt(epoch, start);
    try {
      while (stream.next < last) {
        const batch = await stream.batches.next(signal);
        if (!batch) throw new Error(`The stream of epoch ${epoch} ended before batch ${stream.next}`);
        stream.next++;
        // The next epoch's first batches are prepared while this one's last are computed.
        if (stream.next === this.#batchesPerEpoch && epoch + 1 < this.#parts.epochs) this.#streamAt(epoch + 1, 0);
        yield this.#toBatch(batch);
      }
    } finally {
      if (stream.next < last) this.#leave();
    }
  }

  destroy(): void {
    // Nobody waits for the images under way: what they were for is over.
    this.#preparer[Symbol.asyncDispose]().catch(() => {});
  }

  get #batchesPerEpoch(): number {
    return Math.ceil(this.#parts.count / this.#parts.batchSize);
  }

  #streamAt(epoch: number, start: number): Stream {
    if (this.#stream?.epoch === epoch && this.#stream.next === start) return this.#stream;
    const { size, batchSize, orderOf, viewOf } = this.#parts;
    const order = orderOf(epoch).slice(start * batchSize);
    const request = { order, batchSize, size, view: viewOf(epoch), inFlight: IN_FLIGHT, depth: DEPTH };
    this.#stream = { epoch, next: start, batches: this.#preparer.start(request) };
    return this.#stream;
  }

  /** What is being prepared is not wanted. */
  #leave(): void {
    this.#stream = undefined;
    this.#preparer.stop();
  }

  #toBatch({ indices, labels, pixels }: PreparedBatch): HostBatch {
    const { size, batchSize, filled } = this.#parts;
    const count = indices.length;
    if (filled) {
      return {
        count,
        pixels,
        labels: padded(labels, batchSize, IGNORED_LABEL),
        examples: padded(indices, batchSize, 0),
      };
    }
    // The GPU takes whole 32-bit words.
    const bytes = Math.ceil(count * imageBytes(size) / 4) * 4;
    return { count, pixels: pixels.subarray(0, bytes), labels, examples: indices };
  }
}

function padded(values: Uint32Array<ArrayBuffer>, length: number, filling: number): Uint32Array<ArrayBuffer> {
  const all = new Uint32Array(length).fill(filling);
  all.set(values);
  return all;
}
