import { enableElements, storedType, widened } from "../element_type.ts";
import { channelQuads, imageQuads, rowQuads, usedComponents } from "../layout.ts";
import { walkingWindow, walkStart } from "./walk.ts";
import { tileQuads, type WeightGradient } from "./weight_gradient.ts";

/** A weight gradient of images of one channel quad; `tile.tapRows` are all. */
export interface ColumnWeightGradient extends Omit<WeightGradient, "rows" | "rowsPerSlice"> {
  readonly batch: number;
  /** Output columns of an invocation, and the images in which it walks down them. */
  readonly width: number;
  readonly images: number;
}

/** Invocations that walk down all columns of all images. */
export function columnSlices(
  { outputWidth, batch, width, images }: Pick<ColumnWeightGradient, "outputWidth" | "batch" | "width" | "images">,
): number {
  return Math.ceil(outputWidth / width) * Math.ceil(batch / images);
}

/**
 * Text of the kernel, in the manner of `columnSource`: invocation (slice, tile) walks down its columns of some images,
 * one after the other, and loads every pixel of the output's gradient once. Partial sums lie as those of
 * `weightGradientSource`, but for channels that the input has not: those are not written.
 */
export function columnWeightGradientSource(gradient: ColumnWeightGradient): string {
  const { input, dOutput, outputHeight, outputWidth, kernelHeight, kernelWidth, stride, padding } = gradient;
  const { batch, width, images, slices, tile } = gradient;
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const window = walkingWindow({ dy: range(kernelHeight), dx: range(kernelWidth), width, step: stride });
  const strips = Math.ceil(outputWidth / width);
  const sums = range(kernelHeight).flatMap((ky) =>
    range(kernelWidth).flatMap((kx) =>
      usedComponents(input).flatMap((component, c) =>
        range(tile.outputQuads).map((q) => ({
          name: `s${ky}_${kx}_${c}_${q}`,
          at: ((ky * kernelWidth + kx) * 4 + c) * tile.outputQuads + q,
          product: (p: number, before: string) =>
            `fma(vec4<f32>(${window.at(ky, p * stride + kx)}.${component}), g${p}_${q}, ${before})`,
        }))
      )
    )
  );
  const gradients = range(width).flatMap((p) =>
    range(tile.outputQuads).map((q) => {
      const value = widened(`d_output[gradient_at + ${p * channelQuads(dOutput) + q}u]`, dOutput.elementType);
      // Strips overlap at the far edge; a pixel counts where it comes first.
      const counted = outputWidth % width === 0
        ? value
        : `select(vec4<f32>(), ${value}, x0 + ${p}u >= strip * ${width}u)`;
      return `let g${p}_${q} = ${counted};`;
    })
  );
  return `${enableElements(input, dOutput)}// Partial sums of the weight gradient of a convolution of one channel quad.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> d_output: array<${storedType(dOutput.elementType)}>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Lanes past the end repeat the last one's work.
  let slice = ${slices % 16 === 0 ? "id.x" : `min(id.x, ${slices - 1}u)`};
  let tile = id.y;
  let strip = slice % ${strips}u;
  let x0 = ${walkStart("strip", { length: width, extent: outputWidth })};
  let first = slice / ${strips}u * ${images}u;
  let last = ${batch % images === 0 ? `first + ${images}u` : `min(first + ${images}u, ${batch}u)`};
  ${sums.map(({ name }) => `var ${name} = vec4<f32>();`).join(" ")}
  for (var image = first; image < last; image++) {
    var read_at = image * ${imageQuads(input)}u + ${input.halo - padding}u * ${rowQuads(input)}u + x0 * ${stride}u + ${
    input.halo - padding
  }u;
    var gradient_at = image * ${imageQuads(dOutput)}u + ${dOutput.halo}u * ${
    rowQuads(dOutput)
  }u + (x0 + ${dOutput.halo}u) * ${channelQuads(dOutput)}u + tile * ${tile.outputQuads}u;
    ${window.carried.map((row) => window.load(row, input, "var")).join("\n    ")}
    for (var y = 0u; y < ${outputHeight}u; y++) {
      ${window.fresh.map((row) => window.load(row, input, "let")).join("\n      ")}
      ${gradients.join("\n      ")}
      read_at += ${stride * rowQuads(input)}u;
      gradient_at += ${rowQuads(dOutput)}u;
      ${
    sums.map(({ name, product }) => `${name} = ${range(width).reduce((before, p) => product(p, before), name)};`).join(
      "\n      ",
    )
  }
      ${window.shift().join("\n      ")}
    }
  }
  let at = (tile * ${slices}u + slice) * ${tileQuads(gradient)}u;
  ${sums.map(({ name, at }) => `partials[at + ${at}u] = ${name};`).join("\n  ")}
}
`;
}
