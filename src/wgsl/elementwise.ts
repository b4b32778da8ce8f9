import { channelQuads, dividingWorkgroup, type ImageLayout, imageQuads, rowQuads } from "./layout.ts";

/** A kernel that computes every element of an image from the same place of its inputs. */
export interface Elementwise {
  /** The formula, for whoever reads the generated text. */
  readonly title: string;
  readonly output: ImageLayout;
  /** Inputs of the output's size, or of one pixel, which is then read everywhere. Named x0, x1, ... */
  readonly inputs: readonly ImageLayout[];
  /** Declarations of further bindings, from binding `inputs.length` on; the output is bound last. */
  readonly declarations?: readonly string[];
  /** Statements before the pixels; `c` is the channel quad, `C4` their number. */
  readonly prologue?: string;
  /** The vec4<f32> to store, of x0, x1, ... and what the prologue declares. */
  readonly expression: string;
  /** One invocation a row and channel quad, which loads per-channel values once, instead of one a pixel. */
  readonly byRows: boolean;
}

export interface ElementwiseSource {
  readonly code: string;
  /** Workgroups an image: dispatch (this, batch, 1). */
  readonly workgroups: number;
}

/** Text of an elementwise kernel; it writes the zero border of its output too. */
export function elementwiseSource(kernel: Elementwise): ElementwiseSource {
  const { output, inputs, byRows } = kernel;
  const c4 = channelQuads(output);
  const paddedRows = output.height + 2 * output.halo;
  const lanes = byRows ? paddedRows * c4 : imageQuads(output);
  const workgroup = dividingWorkgroup(lanes, byRows ? 64 : 256);
  // A count without small factors is rounded up and guarded instead.
  const guarded = workgroup < 8 && lanes > workgroup;
  const size = guarded ? 64 : workgroup;
  const extra = kernel.declarations ?? [];
  const code = `// ${kernel.title}
// One invocation computes ${byRows ? "one row of one channel quad" : "one channel quad of one pixel"}.
const C4: u32 = ${c4}u;
${inputs.map((_, i) => `@group(0) @binding(${i}) var<storage, read> input${i}: array<vec4<f32>>;`).join("\n")}
${extra.map((text, i) => `@group(0) @binding(${inputs.length + i}) ${text}`).join("\n")}
@group(0) @binding(${inputs.length + extra.length}) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.x;
  let image = id.y;
  ${guarded ? `if (lane >= ${lanes}u) { return; }` : ""}
  let c = lane % C4;
  ${byRows ? rowWalk(kernel) : pixelWalk(kernel)}
}
`;
  return { code, workgroups: Math.ceil(lanes / size) };
}

/** Reads at pixel `x` of the row whose first indices are base0, base1, ..., and the store. */
function pixelStatements(kernel: Elementwise, x: string): string {
  const reads = kernel.inputs.map((input, i) => {
    const offset = isPixel(input, kernel.output) ? "" : ` + ${x} * C4`;
    return `let x${i} = input${i}[base${i}${offset}];`;
  });
  return `{ ${reads.join(" ")} output[outputBase + ${x} * C4] = ${kernel.expression}; }`;
}

function bases(kernel: Elementwise): string {
  return kernel.inputs.map((input, i) => `let base${i} = ${rowBase(input, kernel.output)};`).join("\n  ");
}

function rowBase(layout: ImageLayout, output: ImageLayout): string {
  if (isPixel(layout, output)) return "image * C4 + c";
  const row = `(image * ${layout.height + 2 * layout.halo}u + y + ${layout.halo}u)`;
  return `(${row} * ${layout.width + 2 * layout.halo}u + ${layout.halo}u) * C4 + c`;
}

function isPixel(layout: ImageLayout, output: ImageLayout): boolean {
  return layout.height === 1 && layout.width === 1 && (output.height !== 1 || output.width !== 1);
}

function rowWalk(kernel: Elementwise): string {
  const { output } = kernel;
  const { halo, width, height } = output;
  const unroll = largestDivisor(width, 8);
  const body = Array.from({ length: unroll }, (_, i) => pixelStatements(kernel, i === 0 ? "x" : `(x + ${i}u)`));
  const paddedWidth = width + 2 * halo;
  const interior = `
  ${bases(kernel)}
  let outputBase = ${rowBase(output, output)};
  for (var x = 0u; x < ${width}u; x += ${unroll}u) {
    ${body.join("\n    ")}
  }`;
  if (halo === 0) return `let y = lane / C4;\n  ${kernel.prologue ?? ""}${interior}`;
  return `let paddedRow = lane / C4;
  let rowStart = image * ${imageQuads(output)}u + paddedRow * ${rowQuads(output)}u + c;
  if (paddedRow < ${halo}u || paddedRow >= ${height + halo}u) {
    for (var x = 0u; x < ${paddedWidth}u; x++) { output[rowStart + x * C4] = vec4<f32>(); }
    return;
  }
  for (var x = 0u; x < ${halo}u; x++) {
    output[rowStart + x * C4] = vec4<f32>();
    output[rowStart + (x + ${width + halo}u) * C4] = vec4<f32>();
  }
  let y = paddedRow - ${halo}u;
  ${kernel.prologue ?? ""}${interior}`;
}

function pixelWalk(kernel: Elementwise): string {
  const { output } = kernel;
  const { halo, height, width } = output;
  const border = halo === 0 ? "" : `
  if (px < ${halo}u || px >= ${width + halo}u || py < ${halo}u || py >= ${height + halo}u) {
    output[image * ${imageQuads(output)}u + lane] = vec4<f32>();
    return;
  }`;
  return `let pixel = lane / C4;
  let px = pixel % ${width + 2 * halo}u;
  let py = pixel / ${width + 2 * halo}u;${border}
  let x = px - ${halo}u;
  let y = py - ${halo}u;
  ${kernel.prologue ?? ""}
  ${bases(kernel)}
  let outputBase = ${rowBase(output, output)};
  ${pixelStatements(kernel, "x")}`;
}

function largestDivisor(count: number, limit: number): number {
  for (let divisor = Math.min(count, limit); divisor > 1; divisor--) {
    if (count % divisor === 0) return divisor;
  }
  return 1;
}

/** Text of a kernel that zeroes the border of an image: one invocation a border pixel's channel quad. */
export function clearHaloSource(layout: ImageLayout): ElementwiseSource {
  const { halo, height, width } = layout;
  const c4 = channelQuads(layout);
  const paddedWidth = width + 2 * halo;
  const top = halo * paddedWidth;
  const pixels = 2 * top + height * 2 * halo;
  const lanes = pixels * c4;
  const code = `// Zeroes the border of an image; one invocation clears one channel quad of one border pixel.
const C4: u32 = ${c4}u;
@group(0) @binding(0) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= ${lanes}u) { return; }
  let c = id.x % C4;
  let i = id.x / C4;
  // The rows above and below, then the columns left and right of the interior.
  var pixel = i;
  if (i >= ${top}u) { pixel = i - ${top}u + ${top + height * paddedWidth}u; }
  if (i >= ${2 * top}u) {
    let side = i - ${2 * top}u;
    let x = side % ${2 * halo}u;
    let y = side / ${2 * halo}u + ${halo}u;
    pixel = y * ${paddedWidth}u + select(x, x + ${width}u, x >= ${halo}u);
  }
  output[id.y * ${imageQuads(layout)}u + pixel * C4 + c] = vec4<f32>();
}
`;
  return { code, workgroups: Math.ceil(lanes / 64) };
}

/** Text of a kernel that zeroes a whole image, its border included: one invocation a channel quad of a pixel. */
export function clearImageSource(layout: ImageLayout): ElementwiseSource {
  const lanes = imageQuads(layout);
  const code = `// Zeroes an image; one invocation clears one channel quad of one pixel.
@group(0) @binding(0) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= ${lanes}u) { return; }
  output[id.y * ${lanes}u + id.x] = vec4<f32>();
}
`;
  return { code, workgroups: Math.ceil(lanes / 64) };
}
