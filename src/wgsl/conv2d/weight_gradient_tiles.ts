import { enableElements, storedType, widened } from "../element_type.ts";
import { channelQuads, type ImageLayout, rowQuads } from "../layout.ts";
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

/** What the parts of the text share. */
interface GradientPlan
  extends ReturnType<typeof tiledGradientCounts>, Pick<ReturnType<typeof gradientTileThreads>, "columns" | "rows"> {
  readonly gradient: TiledWeightGradient;
  /** What an invocation loads of the input and of the output's gradient in a step. */
  readonly inputLoads: readonly TileLoad[];
  readonly outputLoads: readonly TileLoad[];
  /** Quads of an invocation. */
  readonly threadInputs: number;
  readonly threadOutputs: number;
  /** Whether some workgroup's tile goes past the pixels, or the inputs or outputs of a group. */
  readonly pastPixels: boolean;
  readonly pastInputs: boolean;
  readonly pastOutputs: boolean;
}

/** A vec4 that an invocation loads in a step, in WGSL. */
interface TileLoad {
  /** Of the register between memory and workgroup memory. */
  readonly name: string;
  /** Statements that find its place in workgroup memory: its pixel in `<name>_row`, and where in the row. */
  readonly places: readonly string[];
  /** Its group, and its quad within the group's part of the tile. */
  readonly group: string;
  readonly quad: string;
  /** The statement that puts it into its place. */
  readonly store: string;
  /** Whether there is such a one; absent where there always is. */
  readonly condition?: string;
}

/**
 * Text of the kernel, in the manner of `tileSource`: pixel by pixel a workgroup adds the outer product of its quads of
 * dOutput and its quads of the input. Workgroup (tile, slice) writes its sums to the slice's partial sums. Bindings:
 * input, dOutput, partial sums.
 */
export function tiledWeightGradientSource(gradient: TiledWeightGradient): string {
  const plan = gradientPlan(gradient);
  const { input, dOutput, groups, tile, sliceSteps } = gradient;
  const { columns, rows, inputTiles, outputTiles, threadInputs, threadOutputs } = plan;
  const loads = [...plan.outputLoads, ...plan.inputLoads];
  const sums = range(threadOutputs).flatMap((o) =>
    range(4).flatMap((c) => range(threadInputs).map((i) => sumName(o, c, i)))
  );
  const of = tile.groups > 1 ? ` of ${tile.groups} groups` : "";
  return `${enableElements(input, dOutput)}\
// Partial sums of a convolution's weight gradient: ${tile.outputs} output channels by ${tile.inputs} (tap, input
// channel)${of} a workgroup, ${tile.threadOutputs} by ${tile.threadInputs} an invocation, ${tile.depth} pixels a step.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> d_output: array<${storedType(dOutput.elementType)}>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<f32>>;

// [buffer][pixel][quad of a thread][group, thread]
var<workgroup> output_tile: ${quadArray([2, tile.depth, threadOutputs, tile.groups * rows])};
var<workgroup> input_tile: ${quadArray([2, tile.depth, threadInputs, tile.groups * columns])};

@compute @workgroup_size(${gradientTileThreads(tile).threads})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = workgroup.x;
  let slice = workgroup.y;
  let input_from = tile % ${inputTiles}u * ${tile.inputs / 4}u;
  let output_from = tile / ${inputTiles}u % ${outputTiles}u * ${tile.outputs / 4}u;
  let first_group = tile / ${inputTiles * outputTiles}u * ${tile.groups}u;
  let first_pixel = slice * ${sliceSteps * tile.depth}u;
  let thread_input = thread % ${columns}u;
  let thread_output = thread / ${columns}u % ${rows}u;
  let thread_group = thread / ${columns * rows}u;
  let input_column = thread_group * ${columns}u + thread_input;
  let output_column = thread_group * ${rows}u + thread_output;
  ${loadStarts(plan).join("\n  ")}
  ${loads.map(({ name }) => `var ${name}: vec4<f32>;`).join(" ")}
  ${sums.map((name) => `var ${name} = vec4<f32>();`).join("\n  ")}
  {
    ${fetchStep(plan, "0u").join("\n    ")}
  }
  for (var step = 0u; step < ${sliceSteps}u; step++) {
    let buffer = step % 2u;
    ${loads.map(stage).join("\n    ")}
    workgroupBarrier();
    let next = min(step + 1u, ${sliceSteps - 1}u);
    {
      ${fetchStep(plan, "next").join("\n      ")}
    }
    ${range(tile.depth).map((k) => `{\n      ${products(plan, k).join("\n      ")}\n    }`).join("\n    ")}
  }
  let output_quad = output_from + thread_output;
  let input_quad = input_from + thread_input;
  let output = (slice * ${groups}u + first_group + thread_group) * ${plan.outputQuads * 4}u + output_quad * 4u;
  let at = output * ${plan.inputQuads}u + input_quad;
  ${stores(plan).join("\n  ")}
}
`;
}

function gradientPlan(gradient: TiledWeightGradient): GradientPlan {
  const { tile, sliceSteps } = gradient;
  const { columns, rows } = gradientTileThreads(tile);
  const counts = tiledGradientCounts(gradient);
  return {
    ...counts,
    columns,
    rows,
    gradient,
    inputLoads: tileLoads(tile, { name: "input", quads: tile.inputs / 4, along: columns }),
    outputLoads: tileLoads(tile, { name: "output", quads: tile.outputs / 4, along: rows }),
    threadInputs: tile.threadInputs / 4,
    threadOutputs: tile.threadOutputs / 4,
    pastPixels: counts.pixels % (sliceSteps * tile.depth) !== 0,
    pastInputs: counts.inputQuads * 4 % tile.inputs !== 0,
    pastOutputs: counts.outputQuads * 4 % tile.outputs !== 0,
  };
}

/** What an invocation loads of a matrix that has `quads` a pixel and group, with `along` invocations along them. */
function tileLoads(
  tile: GradientTile,
  { name, quads, along }: { readonly name: string; readonly quads: number; readonly along: number },
): TileLoad[] {
  const rowQuads = tile.groups * quads;
  const slots = loadSlots({ count: tile.depth * rowQuads, threads: gradientTileThreads(tile).threads });
  return slots.map(({ index, condition }, j) => {
    // The quads of an invocation are `along` apart; within such a stretch come the groups, then the invocations.
    const column = `(${index} % ${rowQuads}u)`;
    const stretch = `${column} / ${tile.groups * along}u`;
    const within = `${column} % ${tile.groups * along}u`;
    const load = `${name}${j}`;
    return {
      name: load,
      places: [
        `let ${load}_row = ${index} / ${rowQuads}u;`,
        `let ${load}_stretch = ${stretch};`,
        `let ${load}_within = ${within};`,
      ],
      group: tile.groups > 1 ? `(first_group + ${load}_within / ${along}u)` : "first_group",
      quad: `${load}_stretch * ${along}u + ${load}_within % ${along}u`,
      store: `${name}_tile[buffer][${load}_row][${load}_stretch][${load}_within] = ${load};`,
      condition,
    };
  });
}

/** The loads' places, and `<name>_from`: vec4s from a pixel's first one to what a load takes of it. Past the last quad stands the last. */
function loadStarts(plan: GradientPlan): string[] {
  const { channels, inputQuads, outputQuads, gradient: { input, kernelWidth } } = plan;
  const clamped = (value: string, count: number, past: boolean) => past ? `min(${value}, ${count - 1}u)` : value;
  return [
    ...[...plan.outputLoads, ...plan.inputLoads].flatMap(({ places }) => places),
    ...plan.outputLoads.map(({ name, group, quad }) => {
      const at = clamped(`output_from + ${quad}`, outputQuads, plan.pastOutputs);
      return `let ${name}_from = ${group} * ${outputQuads}u + ${at};`;
    }),
    ...plan.inputLoads.flatMap(({ name, group, quad }) => [
      `let ${name}_quad = ${clamped(`input_from + ${quad}`, inputQuads, plan.pastInputs)};`,
      `let ${name}_tap = ${name}_quad / ${channels}u;`,
      `let ${name}_from = ${group} * ${channels}u + ${name}_quad % ${channels}u + ${name}_tap / ${kernelWidth}u * ${
        rowQuads(input)
      }u + ${name}_tap % ${kernelWidth}u * ${channelQuads(input)}u;`,
    ]),
  ];
}

/** From memory to registers; past the last pixel stand zeros. */
function fetchStep({ gradient, inputLoads, outputLoads, pixels, pastPixels }: GradientPlan, step: string): string[] {
  const { input, dOutput, tile, stride, padding, outputHeight, outputWidth } = gradient;
  const size = { rows: outputHeight, columns: outputWidth };
  const fetch = ({ name }: TileLoad, value: string) => [
    `let ${name}_pixel = first_pixel + ${step} * ${tile.depth}u + ${name}_row;`,
    `${name} = ${pastPixels ? `select(vec4<f32>(), ${value}, ${name}_pixel < ${pixels}u)` : value};`,
  ];
  return [
    ...outputLoads.flatMap((load) => {
      const at = pixelAt(dOutput, { ...size, step: 1, y: 0, x: 0 }, `${load.name}_pixel`);
      return fetch(load, widened(`d_output[${at} + ${load.name}_from]`, dOutput.elementType));
    }),
    ...inputLoads.flatMap((load) => {
      const at = pixelAt(input, { ...size, step: stride, y: -padding, x: -padding }, `${load.name}_pixel`);
      return fetch(load, widened(`input[${at} + ${load.name}_from]`, input.elementType));
    }),
  ];
}

/** From a register to workgroup memory. */
function stage({ store, condition }: TileLoad): string {
  return condition ? `if (${condition}) { ${store} }` : store;
}

/** The products of pixel k of a step. */
function products({ threadInputs, threadOutputs }: GradientPlan, k: number): string[] {
  return [
    ...range(threadOutputs).map((o) => `let g${o} = output_tile[buffer][${k}][${o}][output_column];`),
    ...range(threadInputs).map((i) => `let x${i} = input_tile[buffer][${k}][${i}][input_column];`),
    ...range(threadOutputs).flatMap((o) =>
      range(4).flatMap((c) =>
        range(threadInputs).map((i) => {
          const sum = sumName(o, c, i);
          return `${sum} = fma(vec4<f32>(g${o}.${"xyzw"[c]}), x${i}, ${sum});`;
        })
      )
    ),
  ];
}

function stores(
  { columns, rows, inputQuads, outputQuads, threadInputs, threadOutputs, ...plan }: GradientPlan,
): string[] {
  return range(threadOutputs).flatMap((o) =>
    range(threadInputs).map((i) => {
      const conditions = [
        ...(plan.pastOutputs ? [`output_quad + ${o * rows}u < ${outputQuads}u`] : []),
        ...(plan.pastInputs ? [`input_quad + ${i * columns}u < ${inputQuads}u`] : []),
      ];
      const statements = range(4).map((c) =>
        `partials[at + ${(o * rows * 4 + c) * inputQuads + i * columns}u] = ${sumName(o, c, i)};`
      ).join(" ");
      return conditions.length > 0 ? `if (${conditions.join(" && ")}) { ${statements} }` : statements;
    })
  );
}

/** The sums of component c of an invocation's output quad o, by the channels of its input quad i. */
function sumName(o: number, c: number, i: number): string {
  return `sum${o}_${c}_${i}`;
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
