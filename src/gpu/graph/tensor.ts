/** A value of a recorded graph. It holds no data; the plan gives it a place. */
import { type ElementType, quadBytes } from "../../wgsl/mod.ts";
import type { Draw } from "./draw.ts";

export type Shape = readonly number[];

/**
 * - `source`: given from outside before a step
 * - `parameter`: trained; lives in the packed parameter buffer
 * - `state`: running statistics; lives in the packed state buffer
 * - `value`: computed by an operation
 */
export type TensorRole = "source" | "parameter" | "state" | "value";

export interface Tensor {
  readonly id: number;
  readonly name: string;
  /** Images are [N, H, W, C], matrices [N, C]; parameters have PyTorch's shapes (OIHW, [out, in], [C], [1]). */
  readonly shape: Shape;
  readonly role: TensorRole;
  readonly needsGradient: boolean;
  /** It is computed in steps in which this draw is not 0; undefined: in every step. */
  readonly gate?: Draw;
}

export interface ImageShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Reads [N, H, W, C], or [N, C] as N images of one pixel. */
export function imageShape(tensor: Tensor): ImageShape {
  const { shape } = tensor;
  if (shape.length === 4) return { batch: shape[0], height: shape[1], width: shape[2], channels: shape[3] };
  return { batch: shape[0], height: 1, width: 1, channels: shape[1] };
}

export function elementCount(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** Channel quads of the physical layout: channels are padded to a multiple of 4. */
export function quads(channels: number): number {
  return Math.ceil(channels / 4);
}

/** Bytes of an activation with `halo` pixels around every image. */
export function imageBytes(shape: ImageShape, halo: number, elementType: ElementType): number {
  const pixels = shape.batch * (shape.height + 2 * halo) * (shape.width + 2 * halo);
  return pixels * quads(shape.channels) * quadBytes(elementType);
}
