import type { Epilogue, LanePrologue } from "../../wgsl/mod.ts";
import type { Binding, Kernel, ParameterRange } from "../graph/kernel.ts";

/** The sizes of a convolution; channels are logical. */
export interface Conv2dProblem {
  readonly batch: number;
  readonly inputHeight: number;
  readonly inputWidth: number;
  readonly inputChannels: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly outputChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

/** Binds a whole parameter or gradient. */
export function parameterBinding({ buffer, offset, length }: ParameterRange, access: "read" | "read_write") {
  return { buffer, offset, size: length * 4, access };
}

/** The largest divisor of `count` that is at most `limit`. */
export function largestDivisor(count: number, limit: number): number {
  for (let divisor = Math.min(count, limit); divisor > 1; divisor--) {
    if (count % divisor === 0) return divisor;
  }
  return 1;
}

/** An epilogue with what its declarations bind: first its images, then the rest. */
export interface BoundEpilogue extends Epilogue {
  readonly bindings: readonly Binding[];
  /** Kernels that prepare what it binds. */
  readonly before?: readonly Kernel[];
}

/** What a convolution does to every value that it reads, its border of zeros excepted. */
export interface BoundPrologue extends LanePrologue {
  readonly bindings: readonly Binding[];
  /** Kernels that prepare what it binds. */
  readonly before: readonly Kernel[];
}
