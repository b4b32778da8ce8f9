import { storedType, widened } from "../element_type.ts";
import type { ImageLayout } from "../layout.ts";

/** What becomes of a sum before it is stored: an operation that alone reads the convolution, taken into its kernel. */
export interface Epilogue {
  /** Images of the output's size, read at the place of the store: e0, e1, ... */
  readonly inputs: readonly ImageLayout[];
  /** Further bindings, after those of the inputs. */
  readonly declarations: readonly string[];
  /** Values of one channel quad, v0, v1, ..., given the quad's index. */
  readonly vectors: (c: string) => readonly string[];
  /** The vec4<f32> to store, of `value`, e0, ... and v0, ... */
  readonly expression: string;
}

/** The declarations of an epilogue's bindings, from `first` on. */
export function epilogueBindings(epilogue: Epilogue | undefined, first: number): string {
  if (!epilogue) return "";
  const images = epilogue.inputs.map(({ elementType }, i) =>
    `var<storage, read> e${i}: array<${storedType(elementType)}>;`
  );
  return [...images, ...epilogue.declarations].map((text, i) => `@group(0) @binding(${first + i}) ${text}`).join("\n");
}

/** Statements that read the epilogue's vectors of channel quad `c`; `suffix` tells several quads apart. */
export function epilogueVectors(epilogue: Epilogue | undefined, c: string, suffix = ""): string[] {
  return (epilogue?.vectors(c) ?? []).map((text, i) => `let v${i}${suffix} = ${text};`);
}

/**
 * The vec4<f32> to store for the sum `value`; without an epilogue the sum itself.
 * @param options.place Where input `i` is read.
 * @param options.suffix As that of `epilogueVectors`.
 */
export function throughEpilogue(
  epilogue: Epilogue | undefined,
  value: string,
  { place, suffix = "" }: { readonly place: (i: number, layout: ImageLayout) => string; readonly suffix?: string },
): string {
  if (!epilogue) return value;
  return epilogue.expression
    .replaceAll(/\bvalue\b/g, `(${value})`)
    .replaceAll(/\bv(\d+)\b/g, `v$1${suffix}`)
    .replaceAll(/\be(\d+)\b/g, (_, i) => {
      const layout = epilogue.inputs[Number(i)];
      return widened(`e${i}[${place(Number(i), layout)}]`, layout.elementType);
    });
}
