import type { ImageLayout } from "../layout.ts";
import type { Epilogue } from "./epilogue.ts";

/**
 * A convolution as a list of taps: out[y, x] = sum over taps of in[y * inputStep + dy, x * inputStep + dx] w[tap], on a
 * grid of outputs that may be every `outputStep`th pixel of an image. A forward convolution is one such; the input
 * gradient of a strided one is one for each phase of the stride.
 */
export interface TapsConvolution {
  readonly input: ImageLayout;
  readonly output: ImageLayout;
  /** Pixels of the output grid. */
  readonly rows: number;
  readonly columns: number;
  readonly inputStep: number;
  readonly outputStep: number;
  /** Where the output grid starts in the output image. */
  readonly outputY: number;
  readonly outputX: number;
  /** Rows and columns of the taps, relative to the input pixel; every pair is a tap. */
  readonly dy: readonly number[];
  readonly dx: readonly number[];
  readonly epilogue?: Epilogue;
}
