/** Whether a run's images stay in GPU memory or travel there batch by batch. Both give the same bits. */
import type { ImageSize } from "../data/mod.ts";
import { type GpuDevice, residentBytes } from "../gpu/mod.ts";
import type { TrainingConfig } from "./messages.ts";

/** What is kept in GPU memory unasked where nobody knows how much there is: any GPU that trains has more. */
const UNASKED_BYTES = 2 * 2 ** 30;

/** The images of a run, as far as their memory depends on them. */
export interface RunImages {
  readonly size: Pick<ImageSize, "height" | "width"> & { readonly channels: number };
  readonly used: { readonly train: number; readonly test: number };
}

/** Bytes of GPU memory that the images of both splits take. */
export function imagesBytes({ size, used }: RunImages, { target }: Pick<GpuDevice, "target">): number {
  const imageBytes = size.height * size.width * size.channels;
  return [used.train, used.test].reduce((sum, count) => sum + residentBytes({ count, imageBytes }, target), 0);
}

/** Bytes of GPU memory: `images` of both splits, and what the run takes besides. */
export interface RunMemory {
  readonly images: number;
  readonly run: number;
}

/** The bytes of images that are to stay in GPU memory; 0: they travel. Those of `resident` are not asked whether they fit. */
export function bytesKept(
  dataPath: TrainingConfig["dataPath"] = "auto",
  { images, run }: RunMemory,
  { memoryBudget }: Pick<GpuDevice, "memoryBudget">,
): number {
  if (dataPath === "auto") {
    return images <= (memoryBudget === undefined ? UNASKED_BYTES : memoryBudget - run) ? images : 0;
  }
  return dataPath === "resident" ? images : 0;
}
