import { enableElements, storedType, widened } from "../element_type.ts";
import { channelQuads, imageQuads, rowQuads, usedComponents } from "../layout.ts";
import { type LanePrologue, prologueText } from "./lane_prologue.ts";
import { laneWindow } from "./lanes.ts";
import { tileCounts, type WeightGradient } from "./weight_gradient.ts";

/** A weight gradient whose output channels are spread over the lanes of a subgroup; `tile.outputQuads` fill them. */
export interface LaneWeightGradient extends Omit<WeightGradient, "rows" | "rowsPerSlice"> {
  readonly batch: number;
  readonly lanes: number;
  /** Output channels of a lane. */
  readonly laneChannels: 1 | 2 | 4;
  /** Output pixels that are summed at once. */
  readonly patch: { readonly height: number; readonly width: number };
  readonly prologue?: LanePrologue;
}

/**
 * Text of the kernel, in the manner of `laneSource`: a subgroup is one slice of the patches and one tile of the weight.
 * Every lane loads another pixel of the patch's input window, broadcast to all; the output's gradient is loaded pixel
 * by pixel, each lane its own channels. Partial sums lie as those of `weightGradientSource`. Grid (slices, tiles).
 */
export function laneWeightGradientSource(gradient: LaneWeightGradient): string {
  const { input, dOutput, kernelWidth, stride, padding, tile, lanes, laneChannels, patch, slices } = gradient;
  const { outputHeight, outputWidth } = gradient;
  const { inputTiles, outputTiles, tapTiles } = tileCounts(gradient);
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const windowRows = laneWindow({ offsets: range(tile.tapRows), extent: patch.height, step: stride });
  const windowColumns = laneWindow({ offsets: range(kernelWidth), extent: patch.width, step: stride });
  if (!windowRows || !windowColumns) throw new Error("Cannot spread a window over lanes that is not evenly spaced");
  const windowSize = windowRows.count * windowColumns.count;
  const loads = range(Math.ceil(windowSize / lanes));
  const pixels = range(patch.height * patch.width).map((p) => ({
    y: Math.floor(p / patch.width),
    x: p % patch.width,
  }));
  const type = storedType("f32", laneChannels);
  const splat = (value: string) => laneChannels === 1 ? value : `${type}(${value})`;
  const taps = range(tile.tapRows).flatMap((ky) => range(kernelWidth).map((kx) => ({ ky, kx })));
  const sum = (tap: number, i: number, c: number) => `s${tap}_${i}_${c}`;
  const sums = taps.flatMap((_, tap) => range(tile.inputQuads).flatMap((i) => range(4).map((c) => sum(tap, i, c))));
  const windowAt = (y: number, x: number) => y / windowRows.gap * windowColumns.count + x / windowColumns.gap;
  const used = [
    ...new Set(
      pixels.flatMap(({ y, x }) => taps.map(({ ky, kx }) => windowAt(y * stride + ky, x * stride + kx))),
    ),
  ];
  const patchesX = Math.ceil(outputWidth / patch.width);
  const patches = patchesX * Math.ceil(outputHeight / patch.height);
  const scalarsPerPixel = channelQuads(dOutput) * 4 / laneChannels;
  const windowIndex = (j: number) => `min(lane + ${j * lanes}u, ${windowSize - 1}u)`;
  const loadOffset = (j: number) => {
    const k = windowIndex(j);
    return `${k} / ${windowColumns.count}u * ${windowRows.gap * rowQuads(input)}u + ${k} % ${windowColumns.count}u * ${
      windowColumns.gap * channelQuads(input)
    }u`;
  };
  const start = (axis: { patch: string; extent: number; count: number }) =>
    axis.count % axis.extent === 0
      ? `${axis.patch} * ${axis.extent}u`
      : `min(${axis.patch} * ${axis.extent}u, ${axis.count - axis.extent}u)`;
  const gradients = pixels.map(({ y, x }, p) => {
    const offset = (y * rowQuads(dOutput) + x * channelQuads(dOutput)) * 4 / laneChannels;
    // Patches overlap at the far edges; a pixel counts where it comes first.
    const conditions = [
      ...(outputHeight % patch.height === 0 ? [] : [`y0 + ${y}u >= patch_y * ${patch.height}u`]),
      ...(outputWidth % patch.width === 0 ? [] : [`x0 + ${x}u >= patch_x * ${patch.width}u`]),
    ];
    const value = widened(`d_output[to + ${offset}u]`, dOutput.elementType, laneChannels);
    return `let g${p} = ${conditions.length > 0 ? `select(${type}(), ${value}, ${conditions.join(" && ")})` : value};`;
  });
  const before = prologueText(gradient.prologue, {
    input,
    place: (j) => ({
      y: `i32(y0 * ${stride}u + tap_tile * ${tile.tapRows}u + ${
        windowIndex(j)
      } / ${windowColumns.count}u * ${windowRows.gap}u) - ${padding}`,
      x: `i32(x0 * ${stride}u + ${windowIndex(j)} % ${windowColumns.count}u * ${windowColumns.gap}u) - ${padding}`,
    }),
  });
  const products = range(tile.inputQuads).flatMap((i) => [
    ...loads.map((j) =>
      `let x${i}_${j} = ${before.apply(`input[corner + offset${j} + ${i}u]`, { load: j, quad: `_${i}` })};`
    ),
    ...usedComponents(input).flatMap((channel, c) => [
      ...used.map((k) =>
        `let b${i}_${c}_${k} = ${splat(`subgroupBroadcast(x${i}_${Math.floor(k / lanes)}.${channel}, ${k % lanes}u)`)};`
      ),
      ...taps.map(({ ky, kx }, tap) => {
        const value = pixels.reduce(
          (before, { y, x }, p) => `fma(b${i}_${c}_${windowAt(y * stride + ky, x * stride + kx)}, g${p}, ${before})`,
          sum(tap, i, c),
        );
        return `${sum(tap, i, c)} = ${value};`;
      }),
    ]),
  ]);
  return `${enableElements(input, dOutput)}// Partial sums of a convolution's weight gradient: ${
    lanes * laneChannels
  } output channels a subgroup of ${lanes}.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> d_output: array<${storedType(dOutput.elementType, laneChannels)}>;
@group(0) @binding(2) var<storage, read_write> partials: array<${type}>;
${(gradient.prologue?.declarations ?? []).map((text, i) => `@group(0) @binding(${3 + i}) ${text}`).join("\n")}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slice = workgroup.x;
  let tile = workgroup.y;
  let tap_tile = tile % ${tapTiles}u;
  let output_tile = (tile / ${tapTiles}u) % ${outputTiles}u;
  let input_tile = (tile / ${tapTiles * outputTiles}u) % ${inputTiles}u;
  let group = tile / ${tapTiles * outputTiles * inputTiles}u;
  let x_quad = group * ${inputTiles * tile.inputQuads}u + input_tile * ${tile.inputQuads}u;
  let g_lane = (group * ${outputTiles}u + output_tile) * ${lanes}u + lane;
  ${loads.map((j) => `let offset${j} = ${loadOffset(j)};`).join("\n  ")}
  ${range(tile.inputQuads).map((i) => before.vectors(`(x_quad + ${i}u)`, `_${i}`)).join("\n  ")}
  ${sums.map((name) => `var ${name} = ${type}();`).join("\n  ")}
  for (var index = slice; index < ${patches * gradient.batch}u; index += ${slices}u) {
    let image = index / ${patches}u;
    let patch_y = index % ${patches}u / ${patchesX}u;
    let patch_x = index % ${patchesX}u;
    let y0 = ${start({ patch: "patch_y", extent: patch.height, count: outputHeight })};
    let x0 = ${start({ patch: "patch_x", extent: patch.width, count: outputWidth })};
    let corner = image * ${imageQuads(input)}u + (y0 * ${stride}u + tap_tile * ${tile.tapRows}u + ${
    input.halo - padding
  }u) * ${rowQuads(input)}u + (x0 * ${stride}u + ${input.halo - padding}u) * ${channelQuads(input)}u + x_quad;
    let to = image * ${imageQuads(dOutput) * 4 / laneChannels}u + (y0 + ${dOutput.halo}u) * ${
    rowQuads(dOutput) * 4 / laneChannels
  }u + (x0 + ${dOutput.halo}u) * ${scalarsPerPixel}u + g_lane;
    ${before.masks(loads).join("\n    ")}
    ${gradients.join("\n    ")}
    ${products.join("\n    ")}
  }
  let at = (tile * ${slices}u + slice) * ${sums.length * lanes}u + lane;
  ${sums.map((name, i) => `partials[at + ${i * lanes}u] = ${name};`).join("\n  ")}
}
`;
}
