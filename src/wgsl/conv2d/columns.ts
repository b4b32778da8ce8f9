import { enableElements, rounded, storedType } from "../element_type.ts";
import { channelQuads, type ImageLayout, rowQuads, usedComponents } from "../layout.ts";
import { epilogueBindings, epilogueVectors, throughEpilogue } from "./epilogue.ts";
import { stripBlockQuads } from "./strip.ts";
import type { TapsConvolution } from "./taps.ts";
import { walkingWindow, walkStart } from "./walk.ts";

/** A convolution, as a list of taps, of images of one channel quad. */
export interface ColumnConvolution extends TapsConvolution {
  readonly batch: number;
  /** Channel quads that one dispatch writes. */
  readonly outputQuads: number;
  /** Lanes of a subgroup, a divisor of 16. */
  readonly lanes: number;
  /** Output columns of an invocation, and the rows that it walks down. */
  readonly width: number;
  readonly height: number;
}

/**
 * Text of the kernel, for software Vulkan with subgroups. An invocation walks down some columns of an image, so that
 * nearly every load brings a pixel that it has not read before; with so few input channels loads and stores decide,
 * and a pixel's channels are stored as whole quads. The weights, packed as for `stripSource`, lie in the lanes of some
 * registers, whence broadcasts bring them. A workgroup is one subgroup: the grid is along x.
 */
export function columnSource(
  convolution: ColumnConvolution,
): { readonly code: string; readonly workgroups: number } {
  const { input, output, rows, columns, inputStep, outputStep, dy, dx, outputQuads, lanes, width, height } =
    convolution;
  const { epilogue } = convolution;
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const window = walkingWindow({ dy, dx, width, step: inputStep });
  const stripsX = Math.ceil(columns / width);
  const strips = stripsX * Math.ceil(rows / height);
  const invocations = strips * convolution.batch;
  const blockQuads = stripBlockQuads({ dy, dx, inputQuads: 1, outputQuads });
  const products = dy.flatMap((y, ky) =>
    dx.flatMap((x, kx) =>
      usedComponents(input).map((component, c) => ({
        value: (p: number) => `${window.at(y, p * inputStep + x)}.${component}`,
        /** Where its weights start among the block's scalars. */
        at: (q: number) => (((ky * 4 + c) * dx.length + kx) * outputQuads + q) * 4,
      }))
    )
  );
  const quads = range(outputQuads);
  const registers = [...new Set(products.flatMap(({ at }) => quads.map((q) => Math.floor(at(q) / lanes))))];
  const weight = (k: number) => `subgroupBroadcast(w${Math.floor(k / lanes)}, ${k % lanes}u)`;
  const start = (layout: ImageLayout) =>
    `((image * ${layout.height + 2 * layout.halo}u + y0 * ${outputStep}u + ${convolution.outputY + layout.halo}u) * ${
      layout.width + 2 * layout.halo
    }u + x0 * ${outputStep}u + ${convolution.outputX + layout.halo}u) * ${channelQuads(layout)}u + weights.header.x`;
  const starts = (epilogue?.inputs ?? []).map((layout, i) => ({ name: `start${i}`, layout }));
  const quadSums = (q: number) => [
    ...range(width).map((p) => `var a${p}_${q} = vec4<f32>();`),
    ...products.flatMap(({ value, at }, k) => [
      `let w${k}_${q} = vec4<f32>(${range(4).map((o) => weight(at(q) + o)).join(", ")});`,
      ...range(width).map((p) => `a${p}_${q} = fma(vec4<f32>(${value(p)}), w${k}_${q}, a${p}_${q});`),
    ]),
    ...range(width).map((p) => {
      const place = (layout: ImageLayout, name: string) => `${name} + ${p * outputStep * channelQuads(layout) + q}u`;
      const value = throughEpilogue(epilogue, `a${p}_${q}`, {
        place: (i, layout) => place(layout, starts[i].name),
        suffix: `_${q}`,
      });
      return `output[${place(output, "out")}] = ${rounded(value, output.elementType)};`;
    }),
  ];
  const code = `${
    enableElements(input, output, ...(epilogue?.inputs ?? []))
  }// Convolution of one channel quad: ${width} columns of ${height} rows by ${outputQuads * 4} channels an invocation.
struct Weights { header: vec4<u32>, values: array<vec4<f32>, ${blockQuads - 1}> }
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<uniform> weights: Weights;
@group(0) @binding(2) var<storage, read_write> output: array<${storedType(output.elementType)}>;
${epilogueBindings(epilogue, 3)}

@compute @workgroup_size(${lanes})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // Lanes past the end repeat the last one's work.
  let index = ${invocations % lanes === 0 ? "id.x" : `min(id.x, ${invocations - 1}u)`};
  let image = index / ${strips}u;
  let y0 = ${walkStart(`(index % ${strips}u / ${stripsX}u)`, { length: height, extent: rows })};
  let x0 = ${walkStart(`(index % ${stripsX}u)`, { length: width, extent: columns })};
  ${registers.map((r) => `let w${r} = weights.values[${r * lanes / 4}u + lane / 4u][lane % 4u];`).join("\n  ")}
  ${quads.flatMap((q) => epilogueVectors(epilogue, `(weights.header.x + ${q}u)`, `_${q}`)).join("\n  ")}
  var read_at = u32(i32(image * ${input.height + 2 * input.halo}u + y0 * ${inputStep}u) + ${
    input.halo + window.firstRow
  }) * ${rowQuads(input)}u + x0 * ${inputStep}u + ${input.halo + window.firstColumn}u;
  var out = ${start(output)};
  ${starts.map(({ name, layout }) => `var ${name} = ${start(layout)};`).join("\n  ")}
  ${window.carried.map((row) => window.load(row, input, "var")).join("\n  ")}
  for (var row = 0u; row < ${height}u; row++) {
    ${window.fresh.map((row) => window.load(row, input, "let")).join("\n    ")}
    ${quads.flatMap(quadSums).join("\n    ")}
    ${window.shift().join("\n    ")}
    read_at += ${inputStep * rowQuads(input)}u;
    ${
    [{ name: "out", layout: output }, ...starts]
      .map(({ name, layout }) => `${name} += ${outputStep * rowQuads(layout)}u;`).join("\n    ")
  }
  }
}
`;
  return { code, workgroups: Math.ceil(invocations / lanes) };
}
