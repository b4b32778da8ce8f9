import { rounded } from "../element_type.ts";
import { throughEpilogue } from "./epilogue.ts";
import { outputGrid, pixelAt, type TileConvolution } from "./tile_convolution.ts";

/** Statements that find `pixel` in the output and in the epilogue's images. */
export function pixelStarts(convolution: TileConvolution): string[] {
  const { output, epilogue } = convolution;
  const at = (layout: TileConvolution["output"]) => pixelAt(layout, outputGrid(convolution), "pixel");
  return [`let out = ${at(output)};`, ...(epilogue?.inputs ?? []).map((input, i) => `let in${i} = ${at(input)};`)];
}

/** The statement that stores a sum, after the epilogue, as channel quad `quad<q>` of the pixel. */
export function storeSum({ output, epilogue }: TileConvolution, sum: string, q: number): string {
  const value = throughEpilogue(epilogue, sum, { place: (i) => `in${i} + quad${q}`, suffix: `_${q}` });
  return `output[out + quad${q}] = ${rounded(value, output.elementType)};`;
}
