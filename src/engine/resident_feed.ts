import type { LabelledImages } from "../data/mod.ts";
import { type GpuDevice, permutation, ResidentImages } from "../gpu/mod.ts";
import type { BatchFeed, BatchRange } from "./batch_feed.ts";
import type { ResidentBatch } from "./batches.ts";
import type { Runner } from "./runner.ts";

/** Batches of images that were uploaded once: an epoch sends its order, a step which part of it. */
export class ResidentFeed implements BatchFeed<ResidentBatch> {
  readonly #images: ResidentImages;
  readonly #count: number;
  readonly #batchSize: number;
  readonly #orderOf: (epoch: number) => Uint32Array<ArrayBuffer>;
  /** Whose order is on the GPU. */
  #epoch: number | undefined;

  private constructor(
    images: ResidentImages,
    { count, batchSize }: { readonly count: number; readonly batchSize: number },
    orderOf: (epoch: number) => Uint32Array<ArrayBuffer>,
  ) {
    this.#images = images;
    this.#count = count;
    this.#batchSize = batchSize;
    this.#orderOf = orderOf;
  }

  /** As `HostFeed.shuffled`. @throws {GpuError} `out-of-memory` when the GPU has no room for the images. */
  static async shuffled(
    device: GpuDevice,
    images: LabelledImages,
    { batchSize, seed }: { readonly batchSize: number; readonly seed: number },
  ): Promise<ResidentFeed> {
    const { count } = images;
    const resident = await ResidentImages.create(device, images);
    return new ResidentFeed(resident, { count, batchSize }, (epoch) => permutation(count, { seed, epoch }));
  }

  /** As `HostFeed.sequential`. @throws {GpuError} `out-of-memory` when the GPU has no room for the images. */
  static async sequential(
    device: GpuDevice,
    images: LabelledImages,
    { batchSize }: { readonly batchSize: number },
  ): Promise<ResidentFeed> {
    const { count } = images;
    const resident = await ResidentImages.create(device, images);
    return new ResidentFeed(resident, { count, batchSize }, () => Uint32Array.from({ length: count }, (_, i) => i));
  }

  connect(runner: Runner): Promise<void> {
    return runner.connect(this.#images);
  }

  async *batches(epoch: number, range: BatchRange, signal: AbortSignal): AsyncGenerator<ResidentBatch> {
    if (this.#epoch !== epoch) this.#images.writeOrder(this.#orderOf(epoch));
    this.#epoch = epoch;
    const last = Math.min(Math.ceil(this.#count / this.#batchSize), range.start + range.count);
    for (let batch = range.start; batch < last; batch++) {
      signal.throwIfAborted();
      const start = batch * this.#batchSize;
      yield { start, count: Math.min(this.#batchSize, this.#count - start) };
    }
  }

  destroy(): void {
    this.#images.destroy();
  }
}
