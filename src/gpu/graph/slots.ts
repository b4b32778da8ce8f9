import type { BufferHandle } from "./kernel.ts";

/** A GPU buffer to be: what is alive at different times shares it. */
export interface Slot {
  readonly index: number;
  /** Bytes; the largest of what has been placed in it. */
  size: number;
}

/**
 * Gives buffers to values as they come alive and takes them back. The best fit
 * is the smallest free slot that is large enough, else the largest, grown.
 */
export class SlotAllocator {
  readonly slots: Slot[] = [];
  readonly #free: Slot[] = [];
  readonly #slotOf = new Map<number, Slot>();

  /** Places a buffer that is alive from now on. */
  allocate(handle: BufferHandle): void {
    const slot = this.#takeFree(handle.bytes) ?? this.#create();
    slot.size = Math.max(slot.size, handle.bytes);
    this.#slotOf.set(handle.id, slot);
  }

  /** Places a buffer in a slot of its own, never to be released. */
  reserve(handle: BufferHandle): void {
    const slot = this.#create();
    slot.size = handle.bytes;
    this.#slotOf.set(handle.id, slot);
  }

  /** Ends the life of a buffer placed by `allocate`. */
  release(handle: BufferHandle): void {
    this.#free.push(this.slotOf(handle));
  }

  /** @throws {Error} when the buffer was never placed. */
  slotOf(handle: BufferHandle): Slot {
    const slot = this.#slotOf.get(handle.id);
    if (!slot) throw new Error(`Cannot find a buffer for "${handle.label}"`);
    return slot;
  }

  #create(): Slot {
    const slot = { index: this.slots.length, size: 0 };
    this.slots.push(slot);
    return slot;
  }

  #takeFree(bytes: number): Slot | undefined {
    if (this.#free.length === 0) return undefined;
    const fitting = this.#free.filter((slot) => slot.size >= bytes);
    const best = fitting.length > 0
      ? fitting.reduce((a, b) => b.size < a.size ? b : a)
      : this.#free.reduce((a, b) => b.size > a.size ? b : a);
    this.#free.splice(this.#free.indexOf(best), 1);
    return best;
  }
}
