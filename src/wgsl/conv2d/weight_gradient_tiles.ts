import { enableElements, storedType, widened } from "../element_type.ts";
import { channelQuads, type ImageLayout } from "../layout.ts";
import { loadSlots, quadArray } from "./tile_memory.ts";
import { pixelAt } from "./tile_convolution.ts";

/** What a workgroup sums of a weight gradient, and how it is divided among its invocations. */
export interface GradientTile {
  /** Output channels of one group. */
  readonly outputs: number;
  /** (Tap, input channel) pairs of one group. */
  readonly inputs: number;
  /** Output pixels that are in workgroup memory at once. */
  readonly depth: number;
  /** Groups of the convolution side by side, for groups too narrow to fill a workgroup. */
  readonly groups: number;
  /** Of one invocation, multiples of 4. */
  readonly threadOutputs: number;
  readonly threadInputs: number;
}

/**
 * The gradient of OIHW weights as a matrix product over the output pixels of the batch: dOutput, transposed, by the
 * matrix of pixels by (tap, input channel), which is never stored. The pixels are cut into slices of whole steps.
 */
export interface TiledWeightGradient {
  readonly input: ImageLayout;
  readonly dOutput: ImageLayout;
  readonly batch: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
  readonly tile: GradientTile;
  /** Steps of `tile.depth` pixels a slice. */
  readonly sliceSteps: number;
}

/** How a tile divides into invocations, of one group: `columns` along the inputs, `rows` along the outputs. */
export function gradientTileThreads({ outputs, inputs, groups, threadOutputs, threadInputs }: GradientTile) {
  const columns = inputs / threadInputs;
  const rows = outputs / threadOutputs;
  return { columns, rows, threads: groups * rows * columns };
}

/** Bytes of workgroup memory: two tiles each of the input and of the output's gradient. */
export function gradientTileBytes({ outputs, inputs, depth, groups }: GradientTile): number {
  return 2 * 4 * depth * groups * (outputs + inputs);
}

/** Tiles, slices, and the extents of the partial sums: [slice][group][output channel][input quad] of vec4. */
export function tiledGradientCounts(gradient: TiledWeightGradient) {
  const { input, dOutput, kernelHeight, kernelWidth, groups, tile, sliceSteps } = gradient;
  const channels = channelQuads(input) / groups;
  const inputQuads = kernelHeight * kernelWidth * channels;
  const outputQuads = channelQuads(dOutput) / groups;
  const inputTiles = Math.ceil(inputQuads * 4 / tile.inputs);
  const outputTiles = Math.ceil(outputQuads * 4 / tile.outputs);
  const pixels = gradient.batch * gradient.outputHeight * gradient.outputWidth;
  return {
    /** Channel quads of a tap. */
    channels,
    inputQuads,
    outputQuads,
    inputTiles,
    outputTiles,
    tiles: groups / tile.groups * inputTiles * outputTiles,
    pixels,
    slices: Math.ceil(pixels / (sliceSteps * tile.depth)),
    partialQuads: groups * outputQuads * 4 * inputQuads,
  };
}

/**
 * Text of the kernel, in the manner of `tileSource`: pixel by pixel a workgroup adds the outer product of its quads of
 * dOutput and its quads of the input. Workgroup (tile, slice) writes its sums to the slice's partial sums.
 */
export function tiledWeightGradientSource(gradient: TiledWeightGradient): string {
  const { input, dOutput, outputHeight, outputWidth, kernelWidth, stride, padding, groups, tile } = gradient;
  const counts = tiledGradientCounts(gradient);
  const { channels, inputQuads, outputQuads, inputTiles, outputTiles, pixels } = counts;
  const { columns, rows, threads } = gradientTileThreads(tile);
  const [threadOutputs, threadInputs] = [tile.threadOutputs / 4, tile.threadInputs / 4];
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const several = tile.groups > 1;
  const steps = gradient.sliceSteps;
  const pastPixels = pixels % (steps * tile.depth) !== 0;
  const pastOutputs = outputQuads * 4 % tile.outputs !== 0;
  const pastInputs = inputQuads * 4 % tile.inputs !== 0;

  /** What an invocation loads of one of the matrices, which has `quads` a group and pixel and threads `along` them. */
  const side = (name: "x" | "g", { quads, along }: { readonly quads: number; readonly along: number }) => {
    const rowQuads = tile.groups * quads;
    return loadSlots({ count: tile.depth * rowQuads, threads }).map(({ index, condition }, j) => {
      // The quads of a thread are `along` apart; within such a stretch come the groups, then the threads.
      const column = `${index} % ${rowQuads}u`;
      const stretch = `(${column}) / ${tile.groups * along}u`;
      const within = `(${column}) % ${tile.groups * along}u`;
      return {
        name: `${name}${j}`,
        pixel: `${index} / ${rowQuads}u`,
        group: several ? `first_group + ${within} / ${along}u` : "first_group",
        quad: `${stretch} * ${along}u + ${within} % ${along}u`,
        store: `${name}_tile[buffer][${index} / ${rowQuads}u][${stretch}][${within}] = ${name}${j};`,
        condition,
      };
    });
  };
  const inputLoads = side("x", { quads: tile.inputs / 4, along: columns });
  const outputLoads = side("g", { quads: tile.outputs / 4, along: rows });
  const loads = [...outputLoads, ...inputLoads];

  const clamped = (value: string, count: number, past: boolean) => past ? `min(${value}, ${count - 1}u)` : value;
  const starts = [
    ...outputLoads.flatMap(({ name, group, quad }) => {
      const at = clamped(`output_from + ${quad}`, outputQuads, pastOutputs);
      return [`let ${name}_from = (${group}) * ${outputQuads}u + ${at};`];
    }),
    ...inputLoads.flatMap(({ name, group, quad }) => [
      `let ${name}_quad = ${clamped(`input_from + ${quad}`, inputQuads, pastInputs)};`,
      `let ${name}_tap = ${name}_quad / ${channels}u;`,
      `let ${name}_from = (${group}) * ${channels}u + ${name}_quad % ${channels}u + (${name}_tap / ${kernelWidth}u * ${
        input.width + 2 * input.halo
      }u + ${name}_tap % ${kernelWidth}u) * ${channelQuads(input)}u;`,
    ]),
  ];
  const grid = { rows: outputHeight, columns: outputWidth };
  const fetch = (step: string, indent: string) =>
    loads.flatMap((load) => {
      const { name, pixel } = load;
      const index = `${name}_pixel`;
      const isInput = inputLoads.includes(load);
      const place = isInput
        ? pixelAt(input, { ...grid, step: stride, y: -padding, x: -padding }, index)
        : pixelAt(dOutput, { ...grid, step: 1, y: 0, x: 0 }, index);
      const value = isInput
        ? widened(`input[${place} + ${name}_from]`, input.elementType)
        : widened(`d_output[${place} + ${name}_from]`, dOutput.elementType);
      return [
        `let ${index} = first_pixel + ${step} * ${tile.depth}u + ${pixel};`,
        `${name} = ${pastPixels ? `select(vec4<f32>(), ${value}, ${index} < ${pixels}u)` : value};`,
      ];
    }).join(indent);
  const stage = loads.map(({ store, condition }) => condition ? `if (${condition}) { ${store} }` : store);
  const sum = (o: number, c: number, i: number) => `sum${o}_${c}_${i}`;
  const sums = range(threadOutputs).flatMap((o) =>
    range(4).flatMap((c) => range(threadInputs).map((i) => sum(o, c, i)))
  );
  const products = range(tile.depth).map((k) => {
    const lines = [
      ...range(threadOutputs).map((o) => `let a${o} = g_tile[buffer][${k}][${o}][output_column];`),
      ...range(threadInputs).map((i) => `let b${i} = x_tile[buffer][${k}][${i}][input_column];`),
      ...range(threadOutputs).flatMap((o) =>
        range(4).flatMap((c) =>
          range(threadInputs).map((i) =>
            `${sum(o, c, i)} = fma(vec4<f32>(a${o}.${"xyzw"[c]}), b${i}, ${sum(o, c, i)});`
          )
        )
      ),
    ];
    return `{\n      ${lines.join("\n      ")}\n    }`;
  });
  const stores = range(threadOutputs).flatMap((o) =>
    range(threadInputs).map((i) => {
      const conditions = [
        ...(pastOutputs ? [`output_quad + ${o * rows}u < ${outputQuads}u`] : []),
        ...(pastInputs ? [`input_quad + ${i * columns}u < ${inputQuads}u`] : []),
      ];
      const statements = range(4).map((c) =>
        `partials[at + ${(o * rows * 4 + c) * inputQuads + i * columns}u] = ${sum(o, c, i)};`
      ).join(" ");
      return conditions.length > 0 ? `if (${conditions.join(" && ")}) { ${statements} }` : statements;
    })
  );
  return `${enableElements(input, dOutput)}\
// Partial sums of a convolution's weight gradient: ${tile.outputs} output channels by ${tile.inputs} (tap, input channel)${
    several ? ` of ${tile.groups} groups` : ""
  } a workgroup, ${tile.threadOutputs} by ${tile.threadInputs} an invocation.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> d_output: array<${storedType(dOutput.elementType)}>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;
// [buffer][pixel][quad of a thread][group, thread].
var<workgroup> g_tile: ${quadArray([2, tile.depth, threadOutputs, tile.groups * rows])};
var<workgroup> x_tile: ${quadArray([2, tile.depth, threadInputs, tile.groups * columns])};

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = workgroup.x;
  let slice = workgroup.y;
  let input_from = tile % ${inputTiles}u * ${tile.inputs / 4}u;
  let output_from = tile / ${inputTiles}u % ${outputTiles}u * ${tile.outputs / 4}u;
  let first_group = tile / ${inputTiles * outputTiles}u * ${tile.groups}u;
  let first_pixel = slice * ${steps * tile.depth}u;
  let thread_input = thread % ${columns}u;
  let thread_output = thread / ${columns}u % ${rows}u;
  let thread_group = thread / ${columns * rows}u;
  let input_column = thread_group * ${columns}u + thread_input;
  let output_column = thread_group * ${rows}u + thread_output;
  ${starts.join("\n  ")}
  ${loads.map(({ name }) => `var ${name}: vec4<f32>;`).join(" ")}
  ${sums.map((name) => `var ${name} = vec4<f32>();`).join("\n  ")}
  {
    ${fetch("0u", "\n    ")}
  }
  for (var step = 0u; step < ${steps}u; step++) {
    let buffer = step % 2u;
    ${stage.join("\n    ")}
    workgroupBarrier();
    if (step + 1u < ${steps}u) {
      ${fetch("(step + 1u)", "\n      ")}
    }
    ${products.join("\n    ")}
  }
  let output_quad = output_from + thread_output;
  let input_quad = input_from + thread_input;
  let output = (slice * ${groups}u + first_group + thread_group) * ${outputQuads * 4}u + output_quad * 4u;
  let at = output * ${inputQuads}u + input_quad;
  ${stores.join("\n  ")}
}
`;
}
