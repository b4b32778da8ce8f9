import type { Target } from "../graph/kernel.ts";
import { type ImageShape, quads } from "../graph/tensor.ts";

/** How a reduction over the pixels is split: every invocation takes one channel quad of some image rows. */
export interface RowSlices {
  readonly ROWS: number;
  readonly ROWS_PER_SLICE: number;
  readonly SLICES: number;
}

/** Splits batch x height rows so that invocations are enough to fill the adapter, and no slice is empty. */
export function rowSlices(shape: ImageShape, target: Target): RowSlices {
  const rows = shape.batch * shape.height;
  const invocations = target.software ? 512 : 8192;
  const wanted = Math.max(1, Math.ceil(invocations / quads(shape.channels)));
  const perSlice = Math.ceil(rows / Math.min(wanted, rows));
  return { ROWS: rows, ROWS_PER_SLICE: perSlice, SLICES: Math.ceil(rows / perSlice) };
}
