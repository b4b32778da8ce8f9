/** Where a program's batches come from: gathered on the host as they are asked for, or by another feed in its place. */
import type { LabelledImages } from "../data/mod.ts";
import { type Batch, epochBatches, gatherBatch, type HostBatch, sequentialBatches } from "./batches.ts";
import type { Runner } from "./runner.ts";

/** Of an epoch's batches, `count` from the one at `start` on; those past the epoch's last are left out. */
export interface BatchRange {
  readonly start: number;
  /** May be Infinity. */
  readonly count: number;
}

/**
 * The batches of a split, epoch by epoch. An epoch's batches depend on its number alone: who asks for a part of it again,
 * as a resumed run does, gets the same.
 */
export interface BatchFeed<B extends Batch = Batch> {
  /** Makes a runner able to take the feed's batches, where that needs something; comes before its first. */
  connect?(runner: Runner): Promise<void>;
  /** Says which batch will be asked for first, with time to prepare it. */
  begin?(epoch: number, start: number): void;
  /**
   * In order. A step waits while the next one is awaited, so a feed that prepares batches ahead keeps a few ready.
   * @throws the signal's reason when aborted.
   */
  batches(epoch: number, range: BatchRange, signal: AbortSignal): AsyncIterable<B>;
  /** Frees what the feed holds. No iteration is under way then. */
  destroy(): void;
}

/** Gathers each batch from images in host memory when it is asked for. */
export class HostFeed implements BatchFeed<HostBatch> {
  readonly #images: LabelledImages;
  readonly #indicesOf: (epoch: number) => readonly Uint32Array[];
  readonly #sizeOf: (indices: Uint32Array) => number;
  /** A run asks for an epoch part by part. */
  #last: { readonly epoch: number; readonly indices: readonly Uint32Array[] } | undefined;

  private constructor(
    images: LabelledImages,
    indicesOf: (epoch: number) => readonly Uint32Array[],
    sizeOf: (indices: Uint32Array) => number,
  ) {
    this.#images = images;
    this.#indicesOf = indicesOf;
    this.#sizeOf = sizeOf;
  }

  /** Each epoch a random permutation; its last batch may be smaller. */
  static shuffled(images: LabelledImages, options: { readonly batchSize: number; readonly seed: number }): HostFeed {
    const { batchSize, seed } = options;
    return new HostFeed(
      images,
      (epoch) => epochBatches(images.count, batchSize, { seed, epoch }),
      ({ length }) => length,
    );
  }

  /** Every epoch in the split's order; its last batch is filled up with rows that do not count. */
  static sequential(images: LabelledImages, { batchSize }: { readonly batchSize: number }): HostFeed {
    return new HostFeed(images, () => sequentialBatches(images.count, batchSize), () => batchSize);
  }

  async *batches(epoch: number, { start, count }: BatchRange, signal: AbortSignal): AsyncGenerator<HostBatch> {
    if (this.#last?.epoch !== epoch) this.#last = { epoch, indices: this.#indicesOf(epoch) };
    for (const indices of this.#last.indices.slice(start, start + count)) {
      signal.throwIfAborted();
      yield gatherBatch(this.#images, indices, this.#sizeOf(indices));
    }
  }

  destroy(): void {}
}

/** Every batch of a feed whose epochs are alike. */
export const ALL_BATCHES: BatchRange = { start: 0, count: Infinity };
