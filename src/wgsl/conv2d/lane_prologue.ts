import { widened } from "../element_type.ts";
import type { ImageLayout } from "../layout.ts";

/** What becomes of a loaded value before it is multiplied: an operation computed by those that read its result. */
export interface LanePrologue {
  /** Bindings, after all others. */
  readonly declarations: readonly string[];
  /** Values of one channel quad, p0, p1, ..., given the quad's index. */
  readonly vectors: (c: string) => readonly string[];
  /** The vec4<f32> to use, of `value`, p0, ... */
  readonly expression: string;
}

/**
 * Texts that apply a prologue to a window whose loads are spread over lanes. Pixels outside the image stay zero; without
 * a prologue they are loaded as such.
 * @param options.place Row and column in the image, as i32, of the pixel that load `j` brings.
 */
export function prologueText(
  prologue: LanePrologue | undefined,
  { input, place }: {
    readonly input: ImageLayout;
    readonly place: (j: number) => { readonly y: string; readonly x: string };
  },
) {
  // A place before the image becomes a large number.
  const inside = (at: string, extent: number) => `u32(${at}) < ${extent}u`;
  return {
    /** Declares which lanes' pixels lie inside the image, for each load. */
    masks: (loads: readonly number[]): string[] => {
      if (!prologue) return [];
      return loads.map((j) =>
        `let inside${j} = ${inside(place(j).y, input.height)} && ${inside(place(j).x, input.width)};`
      );
    },
    /** Declares the values of one channel quad; `suffix` tells several quads apart. */
    vectors: (c: string, suffix: string): string =>
      (prologue?.vectors(c) ?? []).map((text, i) => `let p${i}${suffix} = ${text};`).join(" "),
    /** The vec4<f32> of a loaded expression. */
    apply: (loaded: string, { load, quad }: { readonly load: number; readonly quad: string }): string => {
      const value = widened(loaded, input.elementType);
      if (!prologue) return value;
      const applied = prologue.expression
        .replaceAll(/\bp(\d+)\b/g, `p$1${quad}`)
        .replaceAll(/\bvalue\b/g, value);
      return `select(vec4<f32>(), ${applied}, inside${load})`;
    },
  };
}
