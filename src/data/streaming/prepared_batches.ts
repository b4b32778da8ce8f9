/**
 * Batches of a streamed data set: image files are read, decoded and cropped, so many at a time and some batches ahead
 * of whoever takes them. What a batch holds depends on its indices and the view alone, however many are under way.
 */
import type { StreamedSplit } from "../cache/streamed_reader.ts";
import type { ImageSize } from "../dataset.ts";
import { imageBytes } from "../dataset.ts";
import { ImageError } from "../errors.ts";
import { decodeKnownImage } from "../images/decode.ts";
import type { Preprocessing } from "../images/preprocessing.ts";
import { mapInOrder } from "../readers/ordered_pool.ts";
import { Slots } from "../slots.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { randomRegion, type RandomResizedCrop } from "./random_resized_crop.ts";

/** Which part of an image is taken: as in evaluation, or a random one of a training epoch. */
export type View =
  | Preprocessing
  | {
    readonly method: "random_resized_crop";
    readonly crop: RandomResizedCrop;
    readonly seed: number;
    readonly epoch: number;
  };

/** Where the images come from. */
export type ImageRecords = Pick<StreamedSplit, "record" | "read" | "damaged">;

export interface PreparationOptions {
  readonly size: ImageSize;
  readonly view: View;
  /** Images decoded at a time. */
  readonly inFlight: number;
  /** Batches begun before the first is taken. */
  readonly ahead: number;
  /** Each of at least the largest batch's bytes; a batch's buffer is its taker's, who gives it back. */
  readonly buffers: BufferPool;
}

export interface PreparedBatch {
  /** Of the images in their split. */
  readonly indices: Uint32Array<ArrayBuffer>;
  readonly labels: Uint32Array<ArrayBuffer>;
  /** indices.length x height x width x channels bytes, then whatever was in the buffer. */
  readonly pixels: Uint8Array<ArrayBuffer>;
}

/**
 * The batches in order.
 * @throws {DatasetError} `damaged`, naming the image that is not what was imported, or `storage`
 */
export function prepareBatches(
  split: ImageRecords,
  batches: Iterable<Uint32Array<ArrayBuffer>>,
  { size, view, inFlight, ahead, buffers }: PreparationOptions,
): AsyncGenerator<PreparedBatch> {
  const slots = new Slots(inFlight);
  const bytes = imageBytes(size);

  async function prepare(indices: Uint32Array<ArrayBuffer>): Promise<PreparedBatch> {
    const pixels = await buffers.take();
    const labels = new Uint32Array(indices.length);
    const tasks = Array.from(indices, async (index, i) => {
      using _slot = await slots.take();
      buffers.throwIfClosed();
      labels[i] = split.record(index).label;
      pixels.set(await prepareImage(split, index, { size, view }), i * bytes);
    });
    // All of them, so that nothing is under way once a failure is told, and the first in order is the one told.
    const failed = (await Promise.allSettled(tasks)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    return { indices, labels, pixels };
  }
  return mapInOrder(batches, prepare, { concurrency: ahead });
}

async function prepareImage(
  split: ImageRecords,
  index: number,
  { size, view }: Pick<PreparationOptions, "size" | "view">,
): Promise<Uint8Array> {
  const record = split.record(index);
  const bytes = await split.read(index);
  const part = view.method === "random_resized_crop"
    ? randomRegion(record, view.crop, { ...view, example: index })
    : view;
  try {
    return await decodeKnownImage(bytes, record, { target: size, view: part });
  } catch (error) {
    if (error instanceof ImageError) throw await split.damaged(index, error.message);
    throw error;
  }
}
