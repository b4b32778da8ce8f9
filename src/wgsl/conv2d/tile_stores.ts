import { rounded, storedType, widened } from "../element_type.ts";
import type { StripEpilogue } from "./strip.ts";
import { outputGrid, pixelAt, type TileConvolution } from "./tile_convolution.ts";

/** The declarations of an epilogue's bindings, from `first` on. */
export function epilogueBindings(epilogue: StripEpilogue | undefined, first: number): string {
  if (!epilogue) return "";
  const images = epilogue.inputs.map(({ elementType }, i) =>
    `var<storage, read> e${i}: array<${storedType(elementType)}>;`
  );
  return [...images, ...epilogue.declarations].map((text, i) => `@group(0) @binding(${first + i}) ${text}\n`).join("");
}

/** Statements that read the epilogue's vectors of channel quad `quad<q>`. */
export function epilogueVectors(epilogue: StripEpilogue | undefined, q: number): string[] {
  return (epilogue?.vectors(`quad${q}`) ?? []).map((text, i) => `let v${i}_${q} = ${text};`);
}

/** Statements that find `pixel` in the output and in the epilogue's images. */
export function pixelStarts(convolution: TileConvolution): string[] {
  const { output, epilogue } = convolution;
  const at = (layout: TileConvolution["output"]) => pixelAt(layout, outputGrid(convolution), "pixel");
  return [`let out = ${at(output)};`, ...(epilogue?.inputs ?? []).map((input, i) => `let in${i} = ${at(input)};`)];
}

/** The statement that stores a sum, after the epilogue, as channel quad `quad<q>` of the pixel. */
export function storeSum({ output, epilogue }: TileConvolution, sum: string, q: number): string {
  const value = epilogue
    ? epilogue.expression
      .replaceAll(/\bvalue\b/g, sum)
      .replaceAll(/\bv(\d+)\b/g, `v$1_${q}`)
      .replaceAll(
        /\be(\d+)\b/g,
        (_, i) => widened(`e${i}[in${i} + quad${q}]`, epilogue.inputs[Number(i)].elementType),
      )
    : sum;
  return `output[out + quad${q}] = ${rounded(value, output.elementType)};`;
}
