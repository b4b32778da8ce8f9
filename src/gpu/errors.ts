/** What can go wrong on the way from a recorded graph to the GPU. */

/** Shapes or attributes that an operation cannot take. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
  constructor(readonly operation: string, detail: string) {
    super(`Cannot record ${operation}: ${detail}`);
  }
}

/** A plan that does not fit the adapter. */
export class MemoryLimitError extends Error {
  override readonly name = "MemoryLimitError";
  constructor(readonly what: string, readonly bytes: number, readonly limit: number) {
    super(`${what} needs ${mebibytes(bytes)}, past the limit of ${mebibytes(limit)}`);
  }
}

export type GpuFailure = "unavailable" | "unsupported" | "validation" | "out-of-memory" | "lost" | "shader";

/** What the driver or the WebGPU implementation refused. */
export class GpuError extends Error {
  override readonly name = "GpuError";
  constructor(readonly failure: GpuFailure, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** "117.2 MiB" */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
