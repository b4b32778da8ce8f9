import type { ElementType } from "./element_type.ts";

/** What generated kernels know of an activation: NHWC, channel quads, a border of zeros. */
export interface ImageLayout {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Pixels of zeros on each side, stored with the image. */
  readonly halo: number;
  /** How its values are stored; default f32. */
  readonly elementType?: ElementType;
}

/** vec4s of one image with its border. */
export function imageQuads(layout: ImageLayout): number {
  return (layout.height + 2 * layout.halo) * rowQuads(layout);
}

/** vec4s of one row with its border. */
export function rowQuads(layout: ImageLayout): number {
  return (layout.width + 2 * layout.halo) * channelQuads(layout);
}

export function channelQuads(layout: ImageLayout): number {
  return Math.ceil(layout.channels / 4);
}

/** The largest power of two that divides `count`, at most `limit`. */
export function dividingWorkgroup(count: number, limit: number): number {
  let size = 1;
  while (size < limit && count % (size * 2) === 0) size *= 2;
  return size;
}

/** The components of an image's only channel quad that hold channels; all four of an image of several quads. */
export function usedComponents({ channels }: ImageLayout): readonly string[] {
  return "xyzw".slice(0, Math.min(channels, 4)).split("");
}
