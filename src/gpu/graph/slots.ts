import type { BufferHandle } from "./kernel.ts";

/** A GPU buffer to be: what is alive at different times shares it. */
export interface Slot {
  readonly index: number;
  /** Bytes; the largest of what has been placed in it. */
  size: number;
  /** Of the images it holds; undefined: anything without a border. */
  readonly border?: Border;
}

/** Where zeros lie in a buffer of images: `halo` pixels around each. */
export interface Border {
  /** Without the border. */
  readonly height: number;
  readonly width: number;
  readonly halo: number;
  /** Of one pixel. */
  readonly bytes: number;
}

/**
 * Gives buffers to values as they come alive and takes them back. The best fit is the smallest free slot that is large
 * enough, else the largest, grown. Images with a border share slots with images of their own layout alone: a new
 * buffer is zero, and nobody writes a border, so it stays zero from image to image and from step to step.
 */
export class SlotAllocator {
  readonly slots: Slot[] = [];
  readonly #free: Slot[] = [];
  readonly #freeBordered = new Map<string, Slot[]>();
  readonly #slotOf = new Map<number, Slot>();

  /** Places a buffer that is alive from now on. */
  allocate(handle: BufferHandle): void {
    const slot = this.#takeFree(handle.bytes) ?? this.#create();
    slot.size = Math.max(slot.size, handle.bytes);
    this.#slotOf.set(handle.id, slot);
  }

  /** Places an image with a border that is alive from now on. */
  allocateBordered(handle: BufferHandle, border: Border): void {
    const slot = this.#freeBordered.get(layoutKey(handle, border))?.pop() ?? this.#create(border);
    slot.size = handle.bytes;
    this.#slotOf.set(handle.id, slot);
  }

  /** Places a buffer in a slot of its own, never to be released. */
  reserve(handle: BufferHandle, border?: Border): void {
    const slot = this.#create(border);
    slot.size = handle.bytes;
    this.#slotOf.set(handle.id, slot);
  }

  /** Ends the life of a buffer placed by `allocate` or `allocateBordered`. */
  release(handle: BufferHandle): void {
    const slot = this.slotOf(handle);
    if (!slot.border) {
      this.#free.push(slot);
      return;
    }
    const key = layoutKey(handle, slot.border);
    this.#freeBordered.set(key, [...this.#freeBordered.get(key) ?? [], slot]);
  }

  /** @throws {Error} when the buffer was never placed. */
  slotOf(handle: BufferHandle): Slot {
    const slot = this.#slotOf.get(handle.id);
    if (!slot) throw new Error(`Cannot find a buffer for "${handle.label}"`);
    return slot;
  }

  #create(border?: Border): Slot {
    const slot = { index: this.slots.length, size: 0, border };
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

function layoutKey({ bytes }: BufferHandle, border: Border): string {
  return `${bytes} ${border.height} ${border.width} ${border.halo} ${border.bytes}`;
}
