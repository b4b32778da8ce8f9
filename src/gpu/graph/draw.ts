/** Numbers that are drawn anew for each step, on the host, so that a step knows what it may leave out. */
import type { BufferHandle } from "./kernel.ts";

/** Where a step stands; a draw depends on it alone, so that a resumed run repeats the uninterrupted one. */
export interface StepKey {
  readonly seed: number;
  /** Counted over all epochs. */
  readonly step: number;
}

/**
 * A factor of terms of a sum (`Coefficient.draw`), and a gate: what was recorded under it (`Graph.gated`) runs in steps
 * in which it is not 0.
 */
export interface Draw {
  readonly name: string;
  /** All draws of a graph share it. */
  readonly buffer: BufferHandle;
  /** In bytes, a multiple of 256. */
  readonly offset: number;
  /** Whether it is 0 or 1: what it gates needs no factor then, and is computed as if there were no draw. */
  readonly isBinary: boolean;
  sample(key: StepKey): number;
}

/** A kernel runs in steps in which the draw is not 0 (`open`), or is. */
export interface Condition {
  readonly draw: Draw;
  readonly open: boolean;
}

/** Each draw can be bound by itself, so that kernels of one text share a pipeline. */
export const DRAW_ALIGNMENT = 256;
