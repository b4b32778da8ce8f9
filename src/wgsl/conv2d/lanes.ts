import { enableElements, rounded, storedType, widened } from "../element_type.ts";
import { channelQuads, type ImageLayout, rowQuads, usedComponents } from "../layout.ts";
import { type LanePrologue, prologueText } from "./lane_prologue.ts";
import { type Epilogue, epilogueVectors } from "./epilogue.ts";
import type { TapsConvolution } from "./taps.ts";

/** A convolution, as a list of taps, whose output channels are spread over the lanes of a subgroup. */
export interface LaneConvolution extends TapsConvolution {
  /** Channel quads summed over. */
  readonly inputQuads: number;
  /** Lanes of a subgroup. */
  readonly lanes: number;
  readonly tile: LaneTile;
  readonly prologue?: LanePrologue;
  /**
   * The output row, within `outputStep`, of each tap row, and column of each tap column: every output sums its own taps
   * of the one window. Default: all 0.
   */
  readonly phaseY?: readonly number[];
  readonly phaseX?: readonly number[];
  /** Uniforms that the weights are split over, by taps: one is at most 64 KiB. */
  readonly parts: number;
}

/** What one subgroup computes: pixels of the output grid, and output channels a lane. */
export interface LaneTile {
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 2 | 4;
}

/** vec4s of one part of a block of packed weights, its header included. */
export function lanePartQuads(
  { dy, dx, inputQuads, lanes, tile, parts }: Pick<LaneConvolution, "dy" | "dx" | "inputQuads" | "lanes" | "parts"> & {
    readonly tile: Pick<LaneTile, "channels">;
  },
): number {
  return 1 + inputQuads * Math.ceil(dy.length * dx.length / parts) * tile.channels * lanes;
}

/** The input positions that a tile reads along one axis, evenly spaced; undefined where they are not. */
export function laneWindow(
  { offsets, extent, step }: { readonly offsets: readonly number[]; readonly extent: number; readonly step: number },
): { readonly count: number; readonly gap: number } | undefined {
  const first = Math.min(...offsets);
  const reads = Array.from({ length: extent }, (_, i) => offsets.map((offset) => i * step + offset - first)).flat();
  const positions = [...new Set(reads)].sort((a, b) => a - b);
  const gap = positions.length > 1 ? positions[1] : 1;
  return positions.every((position, i) => position === i * gap) ? { count: positions.length, gap } : undefined;
}

/**
 * Text of the kernel, for software Vulkan with subgroups. There a load from a storage buffer costs some hundred
 * multiply-adds and brings one vec4 a lane whatever the addresses are, so every lane loads another pixel of the
 * tile's input window; `subgroupBroadcast`, cheap at a constant lane, then gives each value to all lanes, and each lane
 * multiplies it with the weights of its own output channels. A workgroup is one subgroup: grid (tiles, images).
 * Weights: (output channel, input quad, 0, 0), then [input quad][tap][channel of the lane][lane] of vec4 over
 * input channels; parts hold equal numbers of taps.
 */
export function laneSource(convolution: LaneConvolution): { readonly code: string; readonly tiles: number } {
  const { input, output, rows, columns, inputStep, outputStep, dy, dx, inputQuads, lanes, tile } = convolution;
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const windowRows = laneWindow({ offsets: dy, extent: tile.height, step: inputStep });
  const windowColumns = laneWindow({ offsets: dx, extent: tile.width, step: inputStep });
  if (!windowRows || !windowColumns) throw new Error("Cannot spread a window over lanes that is not evenly spaced");
  const { phaseY = dy.map(() => 0), phaseX = dx.map(() => 0) } = convolution;
  const pixels = [...new Set(phaseY)].flatMap((outY) =>
    [...new Set(phaseX)].flatMap((outX) =>
      range(tile.height * tile.width).map((p) => ({
        y: Math.floor(p / tile.width),
        x: p % tile.width,
        outY,
        outX,
        sum: (v: number) => `s${outY}_${outX}_${p}_${v}`,
      }))
    )
  );
  const channels = range(tile.channels);
  const windowSize = windowRows.count * windowColumns.count;
  const loads = range(Math.ceil(windowSize / lanes));
  const [minDy, minDx] = [Math.min(...dy), Math.min(...dx)];
  const tilesX = Math.ceil(columns / tile.width);
  const tiles = tilesX * Math.ceil(rows / tile.height);
  const taps = dy.flatMap((offsetY, ky) =>
    dx.map((offsetX, kx) => ({
      index: ky * dx.length + kx,
      outY: phaseY[ky],
      outX: phaseX[kx],
      at: ({ y, x }: { y: number; x: number }) =>
        (y * inputStep + offsetY - minDy) / windowRows.gap * windowColumns.count +
        (x * inputStep + offsetX - minDx) / windowColumns.gap,
    }))
  );
  const partTaps = Math.ceil(taps.length / convolution.parts);
  const parts = range(convolution.parts);
  const tapsOf = (pixel: typeof pixels[number]) =>
    taps.filter(({ outY, outX }) => outY === pixel.outY && outX === pixel.outX);
  const used = new Set(pixels.flatMap((pixel) => tapsOf(pixel).map(({ at }) => at(pixel))));

  const windowIndex = (j: number) => `min(lane + ${j * lanes}u, ${windowSize - 1}u)`;
  const loadAddress = (j: number) => {
    const k = windowIndex(j);
    return `${k} / ${windowColumns.count}u * ${windowRows.gap * rowQuads(input)}u + ${k} % ${windowColumns.count}u * ${
      windowColumns.gap * channelQuads(input)
    }u`;
  };
  const before = prologueText(convolution.prologue, {
    input,
    place: (j) => ({
      y: `i32(y0 * ${inputStep}u + ${windowIndex(j)} / ${windowColumns.count}u * ${windowRows.gap}u) + ${minDy}`,
      x: `i32(x0 * ${inputStep}u + ${windowIndex(j)} % ${windowColumns.count}u * ${windowColumns.gap}u) + ${minDx}`,
    }),
  });
  const weight = (index: number, v: number) => {
    const offset = (index % partTaps * tile.channels + v) * lanes;
    return `let w${index}_${v} = weights${Math.floor(index / partTaps)}.values[at + ${offset}u];`;
  };
  const products = usedComponents(input).flatMap((c) => [
    ...[...used].map((k) => `let b${c}${k} = subgroupBroadcast(x${Math.floor(k / lanes)}.${c}, ${k % lanes}u);`),
    ...pixels.flatMap((pixel) =>
      channels.map((v) => {
        const sum = tapsOf(pixel).reduce(
          (before, { index, at }) => `fma(b${c}${at(pixel)}, w${index}_${v}.${c}, ${before})`,
          pixel.sum(v),
        );
        return `${pixel.sum(v)} = ${sum};`;
      })
    ),
  ]);
  const start = (axis: { tile: string; extent: number; count: number }) =>
    axis.count % axis.extent === 0
      ? `${axis.tile} * ${axis.extent}u`
      : `min(${axis.tile} * ${axis.extent}u, ${axis.count - axis.extent}u)`;
  const code = `${
    enableElements(input, output, ...(convolution.epilogue?.inputs ?? []))
  }// Convolution: ${tile.height}x${tile.width} pixels by ${lanes * tile.channels} channels a subgroup of ${lanes}.
struct Weights { header: vec4<u32>, values: array<vec4<f32>, ${lanePartQuads(convolution) - 1}> }
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read_write> output: array<${storedType(output.elementType, tile.channels)}>;
${parts.map((part) => `@group(0) @binding(${2 + part}) var<uniform> weights${part}: Weights;`).join("\n")}
${extraBindings(convolution)}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let image = group.y;
  let tile_y = group.x / ${tilesX}u;
  let tile_x = group.x % ${tilesX}u;
  let y0 = ${start({ tile: "tile_y", extent: tile.height, count: rows })};
  let x0 = ${start({ tile: "tile_x", extent: tile.width, count: columns })};
  let channel = weights0.header.x + lane * ${tile.channels}u;
  let corner = (image * ${input.height + 2 * input.halo}u + y0 * ${inputStep}u + ${input.halo + minDy}u) * ${
    rowQuads(input)
  }u + (x0 * ${inputStep}u + ${input.halo + minDx}u) * ${channelQuads(input)}u + weights0.header.y;
  ${loads.map((j) => `var from${j} = corner + ${loadAddress(j)};`).join("\n  ")}
  ${before.masks(loads).join("\n  ")}
  ${pixels.map((pixel) => channels.map((v) => `var ${pixel.sum(v)} = 0f;`).join(" ")).join("\n  ")}
  for (var quad = 0u; quad < ${inputQuads}u; quad++) {
    ${before.vectors("(weights0.header.y + quad)", "")}
    ${
    loads.map((j) => `let x${j} = ${before.apply(`input[from${j}]`, { load: j, quad: "" })}; from${j} += 1u;`).join(
      "\n    ",
    )
  }
    let at = quad * ${partTaps * tile.channels * lanes}u + lane;
    ${taps.flatMap(({ index }) => channels.map((v) => weight(index, v))).join("\n    ")}
    ${products.join("\n    ")}
  }
${stores()}
}
`;
  return { code, tiles };

  function stores(): string {
    const { epilogue } = convolution;
    const place = (layout: ImageLayout, name: string) =>
      `  let ${name} = ((image * ${layout.height + 2 * layout.halo}u + y0 * ${outputStep}u + ${
        convolution.outputY + layout.halo
      }u) * ${layout.width + 2 * layout.halo}u + x0 * ${outputStep}u + ${convolution.outputX + layout.halo}u) * ${
        channelQuads(layout) * 4 / tile.channels
      }u + channel / ${tile.channels}u;`;
    const lines = [place(output, "out"), ...(epilogue?.inputs ?? []).map((layout, i) => place(layout, `start${i}`))];
    lines.push(...epilogueVectors(epilogue, "(channel / 4u)").map((text) => `  ${text}`));
    for (const pixel of pixels) {
      const [outY, outX] = [pixel.y * outputStep + pixel.outY, pixel.x * outputStep + pixel.outX];
      const offset = (layout: ImageLayout) =>
        `${(outY * rowQuads(layout) + outX * channelQuads(layout)) * 4 / tile.channels}u`;
      const sums = channels.map(pixel.sum);
      const epilogueInput = (i: number, layout: ImageLayout) =>
        widened(`e${i}[start${i} + ${offset(layout)}]`, layout.elementType, tile.channels);
      const value = epilogue
        ? laneEpilogue(epilogue, { sums, input: (i) => epilogueInput(i, epilogue.inputs[i]) })
        : sums.length === 1
        ? sums[0]
        : `${storedType("f32", tile.channels)}(${sums.join(", ")})`;
      const conditions = [
        ...(rows % tile.height === 0 ? [] : [`y0 + ${pixel.y}u >= tile_y * ${tile.height}u`]),
        ...(columns % tile.width === 0 ? [] : [`x0 + ${pixel.x}u >= tile_x * ${tile.width}u`]),
      ];
      const store = `output[out + ${offset(output)}] = ${rounded(value, output.elementType, tile.channels)};`;
      lines.push(conditions.length > 0 ? `  if (${conditions.join(" && ")}) { ${store} }` : `  ${store}`);
    }
    return lines.join("\n");
  }
}

function extraBindings({ epilogue, prologue, tile, parts }: LaneConvolution): string {
  const images = (epilogue?.inputs ?? []).map(({ elementType }, i) =>
    `var<storage, read> e${i}: array<${storedType(elementType, tile.channels)}>;`
  );
  return [...images, ...epilogue?.declarations ?? [], ...prologue?.declarations ?? []]
    .map((text, i) => `@group(0) @binding(${2 + parts + i}) ${text}`).join("\n");
}

/**
 * An epilogue works on whole quads. A lane with fewer channels repeats its values over the quad, and takes from the
 * result the components that stand where its channels do.
 */
function laneEpilogue(
  epilogue: Epilogue,
  { sums, input }: { readonly sums: readonly string[]; readonly input: (index: number) => string },
): string {
  const quad = (values: string) =>
    sums.length === 4 ? values : sums.length === 2 ? `(${values}).xyxy` : `vec4<f32>(${values})`;
  const sum = sums.length === 1 ? sums[0] : `vec${sums.length}<f32>(${sums.join(", ")})`;
  const result = epilogue.expression
    .replaceAll(/\bvalue\b/g, quad(sum))
    .replaceAll(/\be(\d+)\b/g, (_, i) => quad(input(Number(i))));
  if (sums.length === 4) return result;
  if (sums.length === 1) return `(${result})[channel % 4u]`;
  return `select((${result}).xy, (${result}).zw, channel % 4u == 2u)`;
}
