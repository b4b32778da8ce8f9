/** Forward convolutions and input gradients as lists of taps: what all their forms are asked for. */
import type { TapsConvolution } from "../../wgsl/mod.ts";
import type { ImageBuffer, ParameterRange } from "../graph/kernel.ts";
import type { BoundEpilogue, BoundPrologue, Conv2dProblem } from "./conv2d_problem.ts";

/** One axis of a convolution as a list of taps: which outputs, and which taps they see. */
export interface Axis {
  /** Outputs of the grid, its first pixel in the image and the distance of its pixels. */
  readonly count: number;
  readonly start: number;
  readonly step: number;
  /** Kernel index of the first tap and the distance of the taps in the kernel. */
  readonly first: number;
  readonly tapStep: number;
  /** Where each tap reads, relative to the output's own pixel of the read image. */
  readonly taps: readonly number[];
  /** The output, within `step`, that each tap belongs to, where there are several; only forms by lanes serve that. */
  readonly phases?: readonly number[];
}

/** A forward convolution, or one phase of an input gradient, for any of the forms. */
export interface TapsRequest {
  readonly label: string;
  readonly read: ImageBuffer;
  readonly write: ImageBuffer;
  readonly weight: ParameterRange;
  readonly transposed: boolean;
  readonly rows: Axis;
  readonly columns: Axis;
  readonly inputStep: number;
  readonly epilogue?: BoundEpilogue;
  /** Only forms by lanes serve it. */
  readonly prologue?: BoundPrologue;
}

/** The request as kernels see it. */
export function tapsConvolution({ read, write, rows, columns, inputStep, epilogue }: TapsRequest): TapsConvolution {
  return {
    input: read,
    output: write,
    rows: rows.count,
    columns: columns.count,
    inputStep,
    outputStep: rows.step,
    outputY: rows.start,
    outputX: columns.start,
    dy: rows.taps,
    dx: columns.taps,
    epilogue,
  };
}

/** What the kernels that pack weights for it are told alike: the weights, and which of them the taps take. */
export function packConstants(
  { outputChannels, inputChannels, groups, kernelHeight, kernelWidth }: Conv2dProblem,
  { transposed, rows, columns }: TapsRequest,
) {
  return {
    OUT: outputChannels,
    IN: inputChannels,
    GROUPS: groups,
    KERNEL_HEIGHT: kernelHeight,
    KERNEL_WIDTH: kernelWidth,
    TRANSPOSED: transposed ? 1 : 0,
    TAP_ROWS: rows.taps.length,
    TAP_COLUMNS: columns.taps.length,
    KY_START: rows.first,
    KY_STEP: rows.tapStep,
    KX_START: columns.first,
    KX_STEP: columns.tapStep,
  };
}
