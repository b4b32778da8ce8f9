import type { Draw } from "./draw.ts";
import type { Tensor } from "./tensor.ts";

/**
 * A factor `constant + slope * k`, where k is a one-element parameter: what (1 - k) and k of the LM step are; times the
 * step's draw where it has one.
 */
export interface Coefficient {
  readonly constant: number;
  readonly slope: number;
  /** Set when slope is not 0. */
  readonly parameter?: Tensor;
  readonly draw?: Draw;
}

export const ONE: Coefficient = { constant: 1, slope: 0 };

export function isOne(coefficient: Coefficient): boolean {
  return coefficient.constant === 1 && coefficient.slope === 0 && !coefficient.draw;
}

/** constant + slope * k */
export function affine(constant: number, slope: number, parameter: Tensor): Coefficient {
  return { constant, slope, parameter };
}
