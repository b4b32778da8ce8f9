import { enableElements, storedType, widened } from "../element_type.ts";
import { channelQuads, type ImageLayout } from "../layout.ts";

/** The sums of one slice of output rows towards the gradient of OIHW weights. */
export interface WeightGradient {
  readonly input: ImageLayout;
  readonly dOutput: ImageLayout;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
  /** batch x output height. */
  readonly rows: number;
  readonly rowsPerSlice: number;
  readonly slices: number;
  readonly tile: WeightTile;
}

/** What one invocation sums: tap rows, and channel quads of the input and the output. */
export interface WeightTile {
  readonly tapRows: number;
  readonly inputQuads: number;
  readonly outputQuads: number;
}

/** vec4s that an invocation writes: [tap row][tap column][input quad][channel][output quad] over output channels. */
export function tileQuads({ tile, kernelWidth }: Pick<WeightGradient, "tile" | "kernelWidth">): number {
  return tile.tapRows * kernelWidth * tile.inputQuads * 4 * tile.outputQuads;
}

/** Tiles of the whole weight. */
export function tileCounts(
  { input, dOutput, groups, kernelHeight, tile }: Pick<
    WeightGradient,
    "input" | "dOutput" | "groups" | "kernelHeight" | "tile"
  >,
) {
  const inputTiles = channelQuads(input) / groups / tile.inputQuads;
  const outputTiles = channelQuads(dOutput) / groups / tile.outputQuads;
  const tapTiles = kernelHeight / tile.tapRows;
  return { inputTiles, outputTiles, tapTiles, tiles: groups * inputTiles * outputTiles * tapTiles };
}

/**
 * Text of the kernel: invocation (slice, tile) walks the slice's rows, some pixels at a time, with the tile's sums in
 * named variables, and writes them to partials[tile][slice][...].
 */
export function weightGradientSource(gradient: WeightGradient): string {
  const { input, dOutput, outputHeight, outputWidth, kernelWidth, stride, padding, tile, slices } = gradient;
  const { inputTiles, outputTiles, tapTiles } = tileCounts(gradient);
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const unroll = [4, 7, 5, 3, 2, 6].find((count) => outputWidth % count === 0) ?? 1;
  const inC4 = channelQuads(input);
  const outC4 = channelQuads(dOutput);
  const inputPitch = (input.width + 2 * input.halo) * inC4;
  const sums = range(tile.tapRows).flatMap((ky) =>
    range(kernelWidth).flatMap((kx) =>
      range(tile.inputQuads).flatMap((i) =>
        range(4).flatMap((c) => range(tile.outputQuads).map((q) => ({ ky, kx, i, c, q })))
      )
    )
  );
  const name = ({ ky, kx, i, c, q }: typeof sums[number]) => `s${ky}_${kx}_${i}_${c}_${q}`;
  const loads: string[] = [];
  for (const p of range(unroll)) {
    for (const q of range(tile.outputQuads)) {
      loads.push(`let g${p}_${q} = ${widened(`d_output[g_at + ${p * outC4 + q}u]`, dOutput.elementType)};`);
    }
  }
  const columns = new Set(range(unroll).flatMap((p) => range(kernelWidth).map((kx) => p * stride + kx)));
  for (const ky of range(tile.tapRows)) {
    for (const column of columns) {
      for (const i of range(tile.inputQuads)) {
        loads.push(
          `let x${ky}_${column}_${i} = ${
            widened(`input[x_at + ${ky * inputPitch + column * inC4 + i}u]`, input.elementType)
          };`,
        );
      }
    }
  }
  const updates = sums.map((sum) => {
    const { ky, kx, i, c, q } = sum;
    return range(unroll).reduce((value, p) => {
      return `fma(vec4<f32>(x${ky}_${p * stride + kx}_${i}.${"xyzw"[c]}), g${p}_${q}, ${value})`;
    }, name(sum));
  });
  return `${enableElements(input, dOutput)}// Partial sums of a convolution's weight gradient.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> d_output: array<${storedType(dOutput.elementType)}>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let slice = id.x;
  if (slice >= ${slices}u) { return; }
  let tile = id.y;
  let tap_tile = tile % ${tapTiles}u;
  let output_tile = (tile / ${tapTiles}u) % ${outputTiles}u;
  let input_tile = (tile / ${tapTiles * outputTiles}u) % ${inputTiles}u;
  let group = tile / ${tapTiles * outputTiles * inputTiles}u;
  let x_quad = group * ${inputTiles * tile.inputQuads}u + input_tile * ${tile.inputQuads}u;
  let g_quad = group * ${outputTiles * tile.outputQuads}u + output_tile * ${tile.outputQuads}u;
  ${sums.map((sum) => `var ${name(sum)} = vec4<f32>();`).join("\n  ")}
  let first = slice * ${gradient.rowsPerSlice}u;
  let last = min(first + ${gradient.rowsPerSlice}u, ${gradient.rows}u);
  for (var row = first; row < last; row++) {
    let image = row / ${outputHeight}u;
    let y = row % ${outputHeight}u;
    let x_row = image * ${input.height + 2 * input.halo}u + y * ${stride}u + tap_tile * ${tile.tapRows}u + ${
    input.halo - padding
  }u;
    let x_start = (x_row * ${input.width + 2 * input.halo}u + ${input.halo - padding}u) * ${inC4}u + x_quad;
    let g_row = image * ${outputHeight + 2 * dOutput.halo}u + y + ${dOutput.halo}u;
    let g_start = (g_row * ${outputWidth + 2 * dOutput.halo}u + ${dOutput.halo}u) * ${outC4}u + g_quad;
    for (var px = 0u; px < ${outputWidth}u; px += ${unroll}u) {
      let x_at = x_start + px * ${stride * inC4}u;
      let g_at = g_start + px * ${outC4}u;
      ${loads.join("\n      ")}
      ${updates.map((value, i) => `${name(sums[i])} = ${value};`).join("\n      ")}
    }
  }
  let at = (tile * ${slices}u + slice) * ${sums.length}u;
  ${sums.map((sum, i) => `partials[at + ${i}u] = ${name(sum)};`).join("\n  ")}
}
`;
}
