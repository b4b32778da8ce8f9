import { enableElements, rounded, storedType, widened } from "../element_type.ts";
import { channelQuads, dividingWorkgroup, type ImageLayout } from "../layout.ts";
import { epilogueBindings, epilogueVectors, throughEpilogue } from "./epilogue.ts";
import type { TapsConvolution } from "./taps.ts";

/** A convolution, as a list of taps, of which an invocation sums a strip of pixels. */
export interface StripConvolution extends TapsConvolution {
  /** Channel quads summed over, and written, by one dispatch. */
  readonly inputQuads: number;
  readonly outputQuads: number;
  readonly batch: number;
  /** Whether to add to what the output holds. */
  readonly accumulate: boolean;
  /** Output pixels an invocation may take. */
  readonly pixels: number;
  /** Lanes of a subgroup, a divisor of 16, that share the loads of weights; 0 for none. */
  readonly lanes: number;
}

export interface StripSource {
  readonly code: string;
  readonly workgroups: number;
}

/** vec4s of one block of packed weights, its header included. */
export function stripBlockQuads(
  { dy, dx, inputQuads, outputQuads }: Pick<StripConvolution, "dy" | "dx" | "inputQuads" | "outputQuads">,
): number {
  return 1 + inputQuads * 4 * dy.length * dx.length * outputQuads;
}

/**
 * Text of the kernel. One invocation computes a strip of pixels by `outputQuads` channel quads, with one accumulator a
 * pixel and quad in a named variable (a local array is slow on software Vulkan); the body of the one loop, over input
 * quads and tap rows, is unrolled over tap columns and channels. The weights are a uniform: (output quad, input quad,
 * 0, 0), then [input quad][tap row][channel][tap column][output quad] of vec4 over output channels.
 */
export function stripSource(convolution: StripConvolution): StripSource {
  const { input, output, rows, columns, inputStep, outputStep, dy, dx, inputQuads, outputQuads, batch } = convolution;
  const tile = stripTile(convolution);
  const stripsX = Math.ceil(columns / tile.width);
  const strips = stripsX * Math.ceil(rows / tile.height);
  const invocations = strips * batch;
  const workgroup = dividingWorkgroup(invocations, 32);
  const guarded = workgroup < 16;
  const size = guarded ? 16 : workgroup;
  const pixels = Array.from({ length: tile.height * tile.width }, (_, p) => p);
  const quads = Array.from({ length: outputQuads }, (_, q) => q);
  const overlapX = columns % tile.width !== 0;
  const pitch = (layout: ImageLayout) => (layout.width + 2 * layout.halo) * channelQuads(layout);
  const { epilogue, lanes } = convolution;
  const result = (p: number, q: number, place: (layout: ImageLayout) => string) => {
    const sum = convolution.accumulate
      ? `${widened(`output[${place(output)}]`, output.elementType)} + a${p}_${q}`
      : `a${p}_${q}`;
    return throughEpilogue(epilogue, sum, { place: (_, layout) => place(layout), suffix: `_${q}` });
  };
  const store = (p: number) => {
    const [py, px] = [Math.floor(p / tile.width), p % tile.width];
    const conditions = [
      ...(guarded ? [`id.x < ${invocations}u`] : []),
      ...(overlapX ? [`x0 + ${px}u >= strip_x * ${tile.width}u`] : []),
    ];
    const statements = quads.map((q) => {
      const place = (layout: ImageLayout) => {
        const start = layout === output ? "out" : `start${epilogue?.inputs.indexOf(layout)}`;
        const offset = py * outputStep * pitch(layout) + px * outputStep * channelQuads(layout) + q;
        return `${start} + ${offset}u`;
      };
      return `output[${place(output)}] = ${rounded(result(p, q, place), output.elementType)};`;
    }).join(" ");
    return conditions.length > 0 ? `if (${conditions.join(" && ")}) { ${statements} }` : statements;
  };
  /** The vec4 index of the strip's first pixel and quad in an image of the output's size. */
  const outputStart = (layout: ImageLayout) => {
    const row = `image * ${layout.height + 2 * layout.halo}u + y0 * ${outputStep}u + ${
      convolution.outputY + layout.halo
    }u`;
    const column = `x0 * ${outputStep}u + ${convolution.outputX + layout.halo}u`;
    return `((${row}) * ${layout.width + 2 * layout.halo}u + ${column}) * ${channelQuads(layout)}u + weights.header.x`;
  };
  const minDx = Math.min(...dx);
  const inputColumns = (tile.width - 1) * inputStep + Math.max(...dx) - minDx + 1;
  const usedColumns = new Set(pixels.flatMap((p) => dx.map((d) => (p % tile.width) * inputStep + d - minDx)));
  const tapRow = (ky: number) => {
    const lines: string[] = [];
    for (let row = 0; row < tile.height; row++) {
      for (let column = 0; column < inputColumns; column++) {
        if (!usedColumns.has(column)) continue;
        const at = row * inputStep * pitch(input) + column * channelQuads(input);
        lines.push(`let i${row}_${column} = ${widened(`input[base + ${at}u]`, input.elementType)};`);
      }
    }
    const products: { c: number; kx: number }[] = [];
    for (let c = 0; c < 4; c++) for (let kx = 0; kx < dx.length; kx++) products.push({ c, kx });
    // A lane loads every `lanes`th weight and shares it: a load costs far more than a broadcast.
    for (let first = 0; lanes > 0 && first < rowWeights; first += lanes) {
      lines.push(`let shared${first / lanes} = weights.values[at + ${first}u + shared_lane];`);
    }
    for (const q of quads) {
      for (const { c, kx } of products) {
        const k = (c * dx.length + kx) * outputQuads + q;
        const value = lanes > 0
          ? `subgroupBroadcast(shared${Math.floor(k / lanes)}, ${k % lanes}u)`
          : `weights.values[at + ${k}u]`;
        lines.push(`let w${c}_${kx}_${q} = ${value};`);
      }
      for (const p of pixels) {
        const sum = products.reduce((before, { c, kx }) => {
          const column = (p % tile.width) * inputStep + dx[kx] - minDx;
          const value = `i${Math.floor(p / tile.width)}_${column}.${"xyzw"[c]}`;
          return `fma(vec4<f32>(${value}), w${c}_${kx}_${q}, ${before})`;
        }, `a${p}_${q}`);
        lines.push(`a${p}_${q} = ${sum};`);
      }
    }
    return `// tap row ${ky}\n      ${lines.join("\n      ")}`;
  };
  const uniformRows = dy.every((value, i) => i === 0 || value - dy[i - 1] === dy[1] - dy[0]);
  if (!uniformRows) throw new Error("Cannot unroll tap rows that are not evenly spaced");
  const rowStep = dy.length > 1 ? dy[1] - dy[0] : 0;
  const rowWeights = 4 * dx.length * outputQuads;
  const code = `${
    enableElements(input, output, ...(epilogue?.inputs ?? []))
  }// Convolution: ${tile.height}x${tile.width} pixels by ${outputQuads * 4} channels an invocation.
struct Weights { header: vec4<u32>, values: array<vec4<f32>, ${inputQuads * dy.length * rowWeights}> }
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<uniform> weights: Weights;
@group(0) @binding(2) var<storage, read_write> output: array<${storedType(output.elementType)}>;
${epilogueBindings(epilogue, 3)}

@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3<u32>${
    lanes > 0 ? ", @builtin(subgroup_invocation_id) shared_lane: u32" : ""
  }) {
  let lane = ${guarded ? `min(id.x, ${invocations - 1}u)` : "id.x"};
  let image = lane / ${strips}u;
  let strip = lane % ${strips}u;
  let strip_x = strip % ${stripsX}u;
  let y0 = (strip / ${stripsX}u) * ${tile.height}u;
  let x0 = ${overlapX ? `min(strip_x * ${tile.width}u, ${columns - tile.width}u)` : `strip_x * ${tile.width}u`};
  let input_row = i32(image * ${input.height + 2 * input.halo}u + y0 * ${inputStep}u) + ${input.halo + dy[0]};
  let input_start = (input_row * ${input.width + 2 * input.halo} + i32(x0 * ${inputStep}u) + ${input.halo + minDx}) * ${
    channelQuads(input)
  } + i32(weights.header.y);
  let out = ${outputStart(output)};
  ${(epilogue?.inputs ?? []).map((input, i) => `let start${i} = ${outputStart(input)};`).join("\n  ")}
  ${pixels.map((p) => quads.map((q) => `var a${p}_${q} = vec4<f32>();`).join(" ")).join("\n  ")}
  for (var step = 0u; step < ${inputQuads * dy.length}u; step++) {
    let base = u32(input_start + i32(step / ${dy.length}u) + i32(step % ${dy.length}u) * ${rowStep * pitch(input)});
    let at = step * ${rowWeights}u;
      ${tapRow(0)}
  }
  ${quads.flatMap((q) => epilogueVectors(epilogue, `(weights.header.x + ${q}u)`, `_${q}`)).join("\n  ")}
  ${pixels.map(store).join("\n  ")}
}
`;
  return { code, workgroups: Math.ceil(invocations / size) };
}

/** The largest tile that divides the grid; where nothing near the limit does, strips of a row that overlap at its end. */
function stripTile({ rows, columns, pixels }: StripConvolution): { height: number; width: number } {
  let best = { height: 1, width: 1 };
  for (let width = 1; width <= Math.min(columns, pixels); width++) {
    if (columns % width !== 0) continue;
    for (let height = 1; height * width <= pixels && height <= rows; height++) {
      if (rows % height !== 0) continue;
      const better = height * width > best.height * best.width ||
        (height * width === best.height * best.width && width > best.width);
      if (better) best = { height, width };
    }
  }
  const whole = Math.min(columns, pixels);
  return best.height * best.width * 2 < whole ? { height: 1, width: whole } : best;
}
