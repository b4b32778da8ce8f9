/**
 * How an image's values are stored. Kernels compute in f32 whatever it is: they widen what they load and round what they
 * store, in text that is a no-op for f32.
 */
export type ElementType = "f32" | "f16";

/** The directive that a module needs to store images of f16. */
export function enableElements(...images: readonly { readonly elementType?: ElementType }[]): string {
  return images.some(({ elementType }) => elementType === "f16") ? "enable f16;\n" : "";
}

/** The type of `width` stored values. */
export function storedType(elementType: ElementType = "f32", width: 1 | 2 | 4 = 4): string {
  return width === 1 ? elementType : `vec${width}<${elementType}>`;
}

/** Bytes of four stored values. */
export function quadBytes(elementType: ElementType = "f32"): number {
  return elementType === "f16" ? 8 : 16;
}

/** The f32 values of a loaded expression. */
export function widened(expression: string, elementType: ElementType = "f32", width: 1 | 2 | 4 = 4): string {
  return elementType === "f32" ? expression : `${storedType("f32", width)}(${expression})`;
}

/** What to store for an f32 expression; past 65504 f16 becomes infinite. */
export function rounded(expression: string, elementType: ElementType = "f32", width: 1 | 2 | 4 = 4): string {
  return elementType === "f32" ? expression : `${storedType(elementType, width)}(${expression})`;
}

const QUAD = "alias Quad = vec4<f32>;";

/**
 * A module whose images are arrays of `Quad`, for images of an element type.
 * @throws {Error} when the module does not say what a Quad is.
 */
export function withElements(code: string, elementType: ElementType = "f32"): string {
  if (!code.includes(QUAD)) throw new Error(`Cannot store ${elementType}: the kernel has no line "${QUAD}"`);
  if (elementType === "f32") return code;
  return enableElements({ elementType }) + code.replace(QUAD, `alias Quad = ${storedType(elementType)};`);
}
