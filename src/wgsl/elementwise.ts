import { enableElements, rounded, storedType, widened } from "./element_type.ts";
import { channelQuads, dividingWorkgroup, type ImageLayout, imageQuads } from "./layout.ts";

/** A kernel that computes every element of an image from the same place of its inputs. */
export interface Elementwise {
  /** The formula, for whoever reads the generated text. */
  readonly title: string;
  readonly output: ImageLayout;
  /** Inputs of the output's size, or of one pixel, which is then read everywhere. Named x0, x1, ... */
  readonly inputs: readonly ImageLayout[];
  /** Declarations of further bindings, from binding `inputs.length` on; the output is bound last. */
  readonly declarations?: readonly string[];
  /** Pixels of a row that an invocation computes; a divisor of the width. */
  readonly pixels: number;
  /** Statements before the pixels; `c` is the channel quad, `C4` their number. */
  readonly prologue?: string;
  /** The vec4<f32> to store, of x0, x1, ... and what the prologue declares. */
  readonly expression: string;
}

export interface ElementwiseSource {
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
}

/**
 * Text of an elementwise kernel over the interior of its output. One invocation computes one channel quad of some
 * pixels, without a branch where the lanes divide: on software Vulkan a masked store costs several times a full one.
 */
export function elementwiseSource(kernel: Elementwise, batch: number): ElementwiseSource {
  const { output, inputs, pixels } = kernel;
  const c4 = channelQuads(output);
  const lanes = output.height * output.width / pixels * c4;
  const workgroup = dividingWorkgroup(lanes, 64);
  // A count without small factors is rounded up and guarded instead.
  const guarded = workgroup < 8 && lanes > workgroup;
  const size = guarded ? 64 : workgroup;
  const extra = kernel.declarations ?? [];
  const pixel = (p: number) => {
    const loads = inputs.map((input, i) => {
      const at = isPixel(input, output) ? `from${i}` : `from${i} + ${p * c4}u`;
      return `let x${i} = ${widened(`input${i}[${at}]`, input.elementType)};`;
    });
    return `${loads.join(" ")} output[out + ${p * c4}u] = ${rounded(kernel.expression, output.elementType)};`;
  };
  const code = `${enableElements(...inputs, output)}// ${kernel.title}
// One invocation computes one channel quad of ${pixels} pixels of a row.
const C4: u32 = ${c4}u;
${
    inputs.map(({ elementType }, i) =>
      `@group(0) @binding(${i}) var<storage, read> input${i}: array<${storedType(elementType)}>;`
    ).join("\n")
  }
${extra.map((text, i) => `@group(0) @binding(${inputs.length + i}) ${text}`).join("\n")}
@group(0) @binding(${inputs.length + extra.length}) var<storage, read_write> output: array<${
    storedType(output.elementType)
  }>;

@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  ${guarded ? `if (id.x >= ${lanes}u) { return; }` : ""}
  let image = id.y;
  let c = id.x % C4;
  let pixel = id.x / C4 * ${pixels}u;
  let x = pixel % ${output.width}u;
  let y = pixel / ${output.width}u;
  ${kernel.prologue ?? ""}
  ${inputs.map((input, i) => `let from${i} = ${elementIndex(input, output)};`).join("\n  ")}
  let out = ${elementIndex(output, output)};
  ${Array.from({ length: pixels }, (_, p) => `{ ${pixel(p)} }`).join("\n  ")}
}
`;
  return { code, workgroups: [Math.ceil(lanes / size), batch, 1] };
}

/** The vec4 index of (image, y, x, c). */
function elementIndex(layout: ImageLayout, output: ImageLayout): string {
  if (isPixel(layout, output)) return "image * C4 + c";
  if (layout.halo === 0) return `image * ${imageQuads(layout)}u + pixel * C4 + c`;
  const row = `(image * ${layout.height + 2 * layout.halo}u + y + ${layout.halo}u)`;
  return `(${row} * ${layout.width + 2 * layout.halo}u + x + ${layout.halo}u) * C4 + c`;
}

function isPixel(layout: ImageLayout, output: ImageLayout): boolean {
  return layout.height === 1 && layout.width === 1 && (output.height !== 1 || output.width !== 1);
}

/** Text of a kernel that zeroes a whole image, its border included: one invocation a channel quad of a pixel. */
export function clearImageSource(layout: ImageLayout, batch: number): ElementwiseSource {
  const lanes = imageQuads(layout);
  const code = `${enableElements(layout)}// Zeroes an image; one invocation clears one channel quad of one pixel.
@group(0) @binding(0) var<storage, read_write> output: array<${storedType(layout.elementType)}>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= ${lanes}u) { return; }
  output[id.y * ${lanes}u + id.x] = ${storedType(layout.elementType)}();
}
`;
  return { code, workgroups: [Math.ceil(lanes / 64), batch, 1] };
}
