/** Kernels whose invocations walk down an image: what they keep of the rows that they have read. */
import { widened } from "../element_type.ts";
import { channelQuads, type ImageLayout, rowQuads, usedComponents } from "../layout.ts";

/**
 * The input that a strip of one output row reads, and what of it the next row reads again. Kernels keep in `read_at`
 * where the window starts.
 */
export function walkingWindow(
  { dy, dx, width, step }: {
    readonly dy: readonly number[];
    readonly dx: readonly number[];
    readonly width: number;
    readonly step: number;
  },
) {
  const [firstRow, firstColumn] = [Math.min(...dy), Math.min(...dx)];
  const height = Math.max(...dy) - firstRow + 1;
  const positions = Array.from({ length: width }, (_, p) => dx.map((x) => p * step + x - firstColumn)).flat();
  const columns = [...new Set(positions)].sort((a, b) => a - b);
  const rows = Array.from({ length: height }, (_, row) => row);
  const carried = rows.filter((row) => row + step < height);
  const fresh = rows.filter((row) => row + step >= height);
  const name = (row: number, column: number) => `i${row}_${column}`;
  const pixel = (input: ImageLayout, offset: number) => {
    const components = usedComponents(input);
    // Padding channels are left out, but for a single channel, which would no longer have components.
    const swizzle = components.length % 4 > 1 ? `.${components.join("")}` : "";
    return `${widened(`input[read_at + ${offset}u]`, input.elementType)}${swizzle}`;
  };
  return {
    firstRow,
    firstColumn,
    // Of the first output row all rows are loaded: those carried before the loop, the others in it.
    carried,
    fresh,
    at: (y: number, x: number) => name(y - firstRow, x - firstColumn),
    load: (row: number, input: ImageLayout, declare: "var" | "let") =>
      columns.map((column) => {
        const offset = row * rowQuads(input) + column * channelQuads(input);
        return `${declare} ${name(row, column)} = ${pixel(input, offset)};`;
      }).join(" "),
    shift: () =>
      carried.flatMap((row) => columns.map((column) => `${name(row, column)} = ${name(row + step, column)};`)),
  };
}

/** Where part `part` of an extent starts; where the parts' length does not divide it, the last one overlaps another. */
export function walkStart(
  part: string,
  { length, extent }: { readonly length: number; readonly extent: number },
): string {
  if (length >= extent) return "0u";
  return extent % length === 0 ? `${part} * ${length}u` : `min(${part} * ${length}u, ${extent - length}u)`;
}
