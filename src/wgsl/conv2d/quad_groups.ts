import { enableElements, rounded, storedType, widened } from "../element_type.ts";
import { channelQuads, type ImageLayout, imageQuads, rowQuads } from "../layout.ts";
import { epilogueBindings, epilogueVectors, throughEpilogue } from "./epilogue.ts";
import type { TapsConvolution } from "./taps.ts";
import { walkingWindow, walkStart } from "./walk.ts";

/** A convolution whose groups read and write one channel quad each, as a list of taps. */
export interface QuadGroupConvolution extends TapsConvolution {
  /** Index in the kernel, row by row, of every tap: rows of `dy`, then columns of `dx`. */
  readonly kernelTaps: readonly number[];
  /** Taps of the whole kernel. */
  readonly kernelSize: number;
  /** Whether the weights' output channels are read, for the input gradient. */
  readonly transposed: boolean;
  /** Groups of a workgroup; a divisor of the groups. */
  readonly lanes: number;
  /** Output pixels of a strip. */
  readonly width: number;
}

/** The sums towards the weight gradient of such a convolution. */
export interface QuadGroupWeightGradient {
  readonly input: ImageLayout;
  readonly dOutput: ImageLayout;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  readonly batch: number;
  readonly lanes: number;
  readonly width: number;
  readonly slices: number;
}

const CHANNELS = ["x", "y", "z", "w"] as const;

/**
 * Text of the kernel: one lane is one group, so that a load brings every lane its own channels and nothing is
 * broadcast. An invocation holds the weights of its group, OIHW as the parameter lies, and walks down a strip of the
 * image, keeping the window's rows that the next output row reads too. Grid (blocks of groups, strips, images).
 */
export function quadGroupSource(convolution: QuadGroupConvolution): string {
  const { input, output, rows, columns, inputStep, outputStep, dy, dx, kernelTaps, kernelSize } = convolution;
  const { lanes, width, transposed, epilogue } = convolution;
  const window = walkingWindow({ dy, dx, width, step: inputStep });
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const product = (
    before: string,
    { x, tap, read, write }: { x: string; tap: number; read: number; write: number },
  ) => {
    const [o, i] = transposed ? [read, write] : [write, read];
    const element = (o * 4 + i) * kernelSize + kernelTaps[tap];
    return `fma(${x}.${CHANNELS[read]}, w${element >> 2}.${CHANNELS[element & 3]}, ${before})`;
  };
  const sum = (p: number, write: number) =>
    dy.flatMap((y, ky) => dx.map((x, kx) => ({ x: window.at(y, p * inputStep + x), tap: ky * dx.length + kx })))
      .flatMap((tap) => range(4).map((read) => ({ ...tap, read })))
      .reduce((before, term) => product(before, { ...term, write }), "0f");
  const place = (layout: ImageLayout) =>
    `((image * ${layout.height + 2 * layout.halo}u + y * ${outputStep}u + ${convolution.outputY + layout.halo}u) * ${
      layout.width + 2 * layout.halo
    }u + x0 * ${outputStep}u + ${convolution.outputX + layout.halo}u) * ${channelQuads(layout)}u + quad`;
  const stores = range(width).map((p) => {
    const at = (layout: ImageLayout, start: string) => `${start} + ${p * outputStep * channelQuads(layout)}u`;
    const value = `vec4<f32>(${range(4).map((write) => sum(p, write)).join(", ")})`;
    const result = throughEpilogue(epilogue, value, { place: (i, layout) => at(layout, `start${i}`) });
    return `output[${at(output, "out")}] = ${rounded(result, output.elementType)};`;
  });
  return `${
    enableElements(input, output, ...(epilogue?.inputs ?? []))
  }// Convolution in groups of one channel quad: ${width} pixels of a row by ${lanes} groups at a time.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<${storedType(output.elementType)}>;
${epilogueBindings(epilogue, 3)}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = workgroup.x * ${lanes}u + lane;
  let image = workgroup.z;
  let x0 = ${walkStart("workgroup.y", { length: width, extent: columns })};
  ${range(kernelSize * 4).map((j) => `let w${j} = weight[quad * ${kernelSize * 4}u + ${j}u];`).join("\n  ")}
  ${epilogueVectors(epilogue, "quad").join("\n  ")}
  var read_at = (image * ${input.height + 2 * input.halo}u + ${input.halo + window.firstRow}u) * ${
    rowQuads(input)
  }u + (x0 * ${inputStep}u + ${input.halo + window.firstColumn}u) * ${channelQuads(input)}u + quad;
  ${window.carried.map((row) => window.load(row, input, "var")).join("\n  ")}
  for (var y = 0u; y < ${rows}u; y++) {
    ${window.fresh.map((row) => window.load(row, input, "let")).join("\n    ")}
    read_at += ${inputStep * rowQuads(input)}u;
    let out = ${place(output)};
    ${(epilogue?.inputs ?? []).map((layout, i) => `let start${i} = ${place(layout)};`).join("\n    ")}
    ${stores.join("\n    ")}
    ${window.shift().join("\n    ")}
  }
}
`;
}

/**
 * Text of the kernel: a lane sums the gradient of its group's weights over the strips of a slice, strip after strip,
 * and writes them as they lie in the parameter: partials[slice][group][O I H W]. Grid (blocks of groups, slices).
 */
export function quadGroupWeightGradientSource(gradient: QuadGroupWeightGradient): string {
  const { input, dOutput, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding } = gradient;
  const { batch, lanes, width, slices } = gradient;
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const window = walkingWindow({ dy: range(kernelHeight), dx: range(kernelWidth), width, step: stride });
  const strips = Math.ceil(outputWidth / width);
  const kernelSize = kernelHeight * kernelWidth;
  const sums = range(16 * kernelSize).map((element) => ({
    name: `s${element}`,
    o: Math.floor(element / kernelSize / 4),
    i: Math.floor(element / kernelSize) % 4,
    ky: Math.floor(element % kernelSize / kernelWidth),
    kx: element % kernelWidth,
  }));
  const updates = sums.map(({ name, o, i, ky, kx }) => {
    const value = range(width).reduce((before, p) => {
      return `fma(${window.at(ky, p * stride + kx)}.${CHANNELS[i]}, g${p}.${CHANNELS[o]}, ${before})`;
    }, name);
    return `${name} = ${value};`;
  });
  const gradients = range(width).map((p) => {
    const value = widened(`d_output[gradient_at + ${p * channelQuads(dOutput)}u]`, dOutput.elementType);
    // Strips overlap at the far edge; a pixel counts where it comes first.
    return `let g${p} = ${
      outputWidth % width === 0 ? value : `select(vec4<f32>(), ${value}, x0 + ${p}u >= strip * ${width}u)`
    };`;
  });
  const groups = channelQuads(input);
  return `${
    enableElements(input, dOutput)
  }// Partial sums of the weight gradient of a convolution in groups of one channel quad.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> d_output: array<${storedType(dOutput.elementType)}>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = workgroup.x * ${lanes}u + lane;
  let slice = workgroup.y;
  ${sums.map(({ name }) => `var ${name} = 0f;`).join(" ")}
  for (var index = slice; index < ${batch * strips}u; index += ${slices}u) {
    let image = index / ${strips}u;
    let strip = index % ${strips}u;
    let x0 = ${walkStart("strip", { length: width, extent: outputWidth })};
    var read_at = image * ${imageQuads(input)}u + ${input.halo - padding}u * ${rowQuads(input)}u + (x0 * ${stride}u + ${
    input.halo - padding
  }u) * ${channelQuads(input)}u + quad;
    var gradient_at = image * ${imageQuads(dOutput)}u + ${dOutput.halo}u * ${
    rowQuads(dOutput)
  }u + (x0 + ${dOutput.halo}u) * ${channelQuads(dOutput)}u + quad;
    ${window.carried.map((row) => window.load(row, input, "var")).join("\n    ")}
    for (var y = 0u; y < ${outputHeight}u; y++) {
      ${window.fresh.map((row) => window.load(row, input, "let")).join("\n      ")}
      ${gradients.join("\n      ")}
      read_at += ${stride * rowQuads(input)}u;
      gradient_at += ${rowQuads(dOutput)}u;
      ${updates.join("\n      ")}
      ${window.shift().join("\n      ")}
    }
  }
  let at = (slice * ${groups}u + quad) * ${kernelSize * 4}u;
  ${
    range(kernelSize * 4).map((j) =>
      `partials[at + ${j}u] = vec4<f32>(${range(4).map((e) => `s${j * 4 + e}`).join(", ")});`
    ).join("\n  ")
  }
}
`;
}
