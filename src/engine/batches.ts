import type { LabelledImages } from "../data/mod.ts";
import { IGNORED_LABEL, permutation } from "../gpu/mod.ts";

/** What a step takes: images in host memory, or some that are on the GPU. */
export type Batch = HostBatch | ResidentBatch;

/** One batch as the GPU takes it. */
export interface HostBatch {
  /** Images that count; the rest is filling. */
  readonly count: number;
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly labels: Uint32Array<ArrayBuffer>;
  /** Indices in the data set: what augmentation is keyed by. */
  readonly examples: Uint32Array<ArrayBuffer>;
}

/** Some of the images that a runner was connected to: `count` from `start` on in their order. */
export interface ResidentBatch {
  readonly count: number;
  readonly start: number;
}

/** Gathers the images of `indices` into one batch of `size`; the places past them get IGNORED_LABEL. */
export function gatherBatch(images: LabelledImages, indices: Uint32Array, size: number): HostBatch {
  const bytesPerImage = images.pixels.length / images.count;
  const pixels = new Uint8Array(Math.ceil(size * bytesPerImage / 4) * 4);
  const labels = new Uint32Array(size).fill(IGNORED_LABEL);
  const examples = new Uint32Array(size);
  indices.forEach((index, i) => {
    const start = index * bytesPerImage;
    pixels.set(images.pixels.subarray(start, start + bytesPerImage), i * bytesPerImage);
    labels[i] = images.labels[index];
    examples[i] = index;
  });
  return { count: indices.length, pixels, labels, examples };
}

/** The indices of each batch of an epoch: a random permutation, cut; the last batch may be smaller. */
export function epochBatches(
  count: number,
  batchSize: number,
  key: { readonly seed: number; readonly epoch: number },
): Uint32Array[] {
  return cut(permutation(count, key), batchSize);
}

/** The indices of each batch in order. */
export function sequentialBatches(count: number, batchSize: number): Uint32Array[] {
  return cut(Uint32Array.from({ length: count }, (_, i) => i), batchSize);
}

/** The first `limit` images; all without a limit. */
export function limitImages(images: LabelledImages, limit: number | undefined): LabelledImages {
  if (limit === undefined || limit >= images.count) return images;
  const bytesPerImage = images.pixels.length / images.count;
  return {
    count: limit,
    pixels: images.pixels.subarray(0, limit * bytesPerImage),
    labels: images.labels.subarray(0, limit),
  };
}

function cut(order: Uint32Array, size: number): Uint32Array[] {
  const batches: Uint32Array[] = [];
  for (let start = 0; start < order.length; start += size) batches.push(order.subarray(start, start + size));
  return batches;
}
