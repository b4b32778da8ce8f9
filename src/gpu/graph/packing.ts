import type { BufferHandle } from "./kernel.ts";
import type { Variable } from "./graph.ts";
import { elementCount, type Tensor } from "./tensor.ts";

/** Parameters start at multiples of this, so that each can be bound by itself. */
export const PARAMETER_ALIGNMENT = 256;

/** Where each of a list of variables lies in one packed f32 buffer. */
export class Packing {
  /** Of the whole buffer. */
  readonly bytes: number;
  readonly #offsets = new Map<number, number>();

  constructor(readonly variables: readonly Variable[]) {
    let offset = 0;
    for (const { tensor } of variables) {
      this.#offsets.set(tensor.id, offset);
      offset += Math.ceil(elementCount(tensor.shape) * 4 / PARAMETER_ALIGNMENT) * PARAMETER_ALIGNMENT;
    }
    this.bytes = Math.max(offset, PARAMETER_ALIGNMENT);
  }

  /** In bytes. @throws {Error} for a tensor that is not among the variables. */
  offsetOf(tensor: Tensor): number {
    const offset = this.#offsets.get(tensor.id);
    if (offset === undefined) throw new Error(`Cannot find "${tensor.name}" among the packed variables`);
    return offset;
  }
}

/** A packed buffer in parts that can be bound. */
export function bindableParts(bytes: number, limit: number): { readonly offset: number; readonly size: number }[] {
  const most = Math.floor(limit / PARAMETER_ALIGNMENT) * PARAMETER_ALIGNMENT;
  return Array.from({ length: Math.ceil(bytes / most) }, (_, i) => {
    return { offset: i * most, size: Math.min(most, bytes - i * most) };
  });
}

/** The packed buffers of one network; its plans share them. */
export interface PackedBuffers {
  readonly parameters: BufferHandle;
  readonly gradients: BufferHandle;
  /** The optimiser's momentum. */
  readonly velocities: BufferHandle;
  /** Running statistics, and what the optimiser keeps besides momentum. */
  readonly states: BufferHandle;
}
