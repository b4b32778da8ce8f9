import { type ElementType, enableElements, rounded, storedType, widened } from "../element_type.ts";
import { channelQuads, type ImageLayout, rowQuads } from "../layout.ts";
import type { StripEpilogue } from "./strip.ts";
import { loadSlots, quadArray, workgroupGrid } from "./tile_memory.ts";

/** What a workgroup computes, and how it is divided among its invocations. All are powers of two. */
export interface Tile {
  /** Output pixels, of the whole batch in a row. */
  readonly pixels: number;
  /** Output channels of one group. */
  readonly channels: number;
  /** Products of an output that are in workgroup memory at once, a multiple of 4. */
  readonly depth: number;
  /** Groups of the convolution side by side, for groups too narrow to fill a workgroup. */
  readonly groups: number;
  /** Of one invocation; channels are a multiple of 4. */
  readonly threadPixels: number;
  readonly threadChannels: number;
}

/**
 * A convolution as in `StripConvolution`, taps in ascending order: the matrix product of a matrix of pixels by (tap,
 * input channel), which is never stored, and the packed weights.
 */
export interface TileConvolution {
  readonly input: ImageLayout;
  readonly output: ImageLayout;
  readonly batch: number;
  /** Pixels of the output grid. */
  readonly rows: number;
  readonly columns: number;
  readonly inputStep: number;
  readonly outputStep: number;
  /** Where the output grid starts in the output image. */
  readonly outputY: number;
  readonly outputX: number;
  /** Rows and columns of the taps, relative to the input pixel; every pair is a tap. */
  readonly dy: readonly number[];
  readonly dx: readonly number[];
  readonly groups: number;
  readonly weightType: ElementType;
  readonly tile: Tile;
  readonly epilogue?: StripEpilogue;
}

export interface TileSource {
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
}

/** How a tile divides into invocations: `columns` along the channels, `rows` along the pixels. */
export function tileThreads({ pixels, channels, groups, threadPixels, threadChannels }: Tile) {
  const groupColumns = channels / threadChannels;
  const columns = groups * groupColumns;
  const rows = pixels / threadPixels;
  return { groupColumns, columns, rows, threads: columns * rows, quads: threadChannels / 4 };
}

/** Bytes of workgroup memory: two tiles of the input and two of the weights, computed from and loaded in turn. */
export function tileBytes({ pixels, channels, depth, groups }: Tile): number {
  return 2 * 4 * depth * groups * (pixels + channels);
}

/** The blocks of packed weights: [group block][channel block][depth][quad of a thread][thread column] of vec4. */
export function tileBlocks({ input, output, dy, dx, groups, tile }: Omit<TileConvolution, "epilogue">) {
  const inputQuads = channelQuads(input) / groups;
  const outputQuads = channelQuads(output) / groups;
  const sumQuads = dy.length * dx.length * inputQuads;
  const steps = Math.ceil(sumQuads * 4 / tile.depth);
  const blocksAGroup = Math.ceil(outputQuads * 4 / tile.channels);
  const stepQuads = tile.depth * tile.groups * tile.channels / 4;
  return {
    inputQuads,
    outputQuads,
    /** Products of an output, in quads. */
    sumQuads,
    steps,
    blocksAGroup,
    blocks: groups / tile.groups * blocksAGroup,
    /** vec4s of one step's weights, and of one block's. */
    stepQuads,
    blockQuads: steps * stepQuads,
  };
}

/**
 * Text of the kernel. A workgroup sums a tile of pixels by channels. Step by step along (tap, input channel), its
 * invocations fetch the next part of the matrix of pixels and of the weights into registers while they sum what is in
 * workgroup memory; there are two buffers of each, so a step has one barrier. Pixels lie there in quads along the
 * channels that are summed over, as the input has them; weights in quads of output channels. An invocation holds its
 * sums in named variables. Its pixels are `rows` apart and its channel quads `columns`, so that neighbours read and
 * store neighbouring addresses; and the arrays are nested so that what an invocation reads is one variable index, which
 * is bounds-checked once, and constants.
 */
export function tileSource(convolution: TileConvolution, { maxWorkgroups }: { maxWorkgroups: number }): TileSource {
  const { input, output, batch, rows, columns, tile, weightType, epilogue } = convolution;
  const { groupColumns, columns: threadColumns, rows: threadRows, threads, quads } = tileThreads(tile);
  const blocks = tileBlocks(convolution);
  const { inputQuads, outputQuads, sumQuads, steps, blocksAGroup } = blocks;
  const depthQuads = tile.depth / 4;
  const pixels = batch * rows * columns;
  const workgroups = Math.ceil(pixels / tile.pixels) * blocks.blocks;
  const grid = workgroupGrid(workgroups, maxWorkgroups);
  const pastPixels = pixels % tile.pixels !== 0 || grid[0] * grid[1] !== workgroups;
  const pastChannels = outputQuads * 4 % tile.channels !== 0;
  // All the vec4s that an invocation loads of the pixels lie in one column of the tile.
  const tileColumns = tile.groups * depthQuads;
  const imageSlots = loadSlots({ count: tile.pixels * tileColumns, threads });
  const weightSlots = loadSlots({ count: blocks.stepQuads, threads });
  if (threads % tileColumns !== 0 || !imageSlots.every(({ condition }) => condition === undefined)) {
    throw new Error(`Cannot share ${tile.pixels}x${tileColumns} loads evenly among ${threads} invocations`);
  }
  const several = tile.groups > 1;
  const range = (length: number) => Array.from({ length }, (_, i) => i);

  const row = ({ index }: { index: string }) => `${index} / ${tileColumns}u`;
  const fetch = (step: string, indent: string) =>
    [
      ...sumOffset(convolution, step),
      ...imageSlots.map((_, j) => {
        const value = widened(`input[from${j} + offset]`, input.elementType);
        const past = sumQuads % depthQuads !== 0;
        return `image${j} = ${past ? `select(vec4<f32>(), ${value}, quad < ${sumQuads}u)` : value};`;
      }),
      ...weightSlots.map((_, j) => {
        const at = `weights_from + ${step} * ${blocks.stepQuads}u + ${j * threads}u`;
        return `weight${j} = ${widened(`weights[${at}]`, weightType)};`;
      }),
    ].join(indent);
  const stage = [
    ...imageSlots.map((slot, j) => {
      const place = `[(${row(slot)}) / ${threadRows}u][(${row(slot)}) % ${threadRows}u]`;
      return `image_tile[buffer]${place}${several ? "[load_group]" : ""}[load_quad] = image${j};`;
    }),
    ...weightSlots.map(({ index, condition }, j) => {
      const tileRow = quads * threadColumns;
      const place = `[${index} / ${tileRow}u][${index} / ${threadColumns}u % ${quads}u][${index} % ${threadColumns}u]`;
      const store = `weight_tile[buffer]${place} = weight${j};`;
      return condition ? `if (${condition}) { ${store} }` : store;
    }),
  ];
  const sums = range(tile.threadPixels).map((p) => range(quads).map((q) => `sum${p}_${q}`));
  const products = range(depthQuads).map((k) => {
    const group = several ? "[group]" : "";
    const lines = range(tile.threadPixels).map((p) =>
      `let x${p} = image_tile[buffer][${p}][thread_row]${group}[${k}];`
    );
    for (const c of range(4)) {
      lines.push(
        ...range(quads).map((q) => `let w${c}_${q} = weight_tile[buffer][${4 * k + c}][${q}][thread_column];`),
      );
      for (const p of range(tile.threadPixels)) {
        for (const q of range(quads)) {
          lines.push(`${sums[p][q]} = fma(vec4<f32>(x${p}.${"xyzw"[c]}), w${c}_${q}, ${sums[p][q]});`);
        }
      }
    }
    return `{\n      ${lines.join("\n      ")}\n    }`;
  });
  const store = (p: number) => {
    const images = [output, ...epilogue?.inputs ?? []];
    const starts = images.map((layout, i) =>
      `let ${i === 0 ? "out" : `in${i - 1}`} = ${outputAt(convolution, layout)};`
    );
    const stores = range(quads).map((q) => {
      const value = epilogue ? epilogueValue(epilogue, p, q) : sums[p][q];
      const statement = `output[out + quad${q}] = ${rounded(value, output.elementType)};`;
      return pastChannels ? `if (group_quad + ${q * groupColumns}u < ${outputQuads}u) { ${statement} }` : statement;
    });
    const pixel = `let pixel = first_pixel + ${p * threadRows}u + thread_row;`;
    const body = [...starts, ...stores].join("\n    ");
    return pastPixels
      ? `{\n    ${pixel}\n    if (pixel < ${pixels}u) {\n    ${body}\n    }\n  }`
      : `{\n    ${pixel}\n    ${body}\n  }`;
  };
  const declarations = [
    ...(epilogue?.inputs ?? []).map(({ elementType }, i) =>
      `var<storage, read> e${i}: array<${storedType(elementType)}>;`
    ),
    ...epilogue?.declarations ?? [],
  ];
  const code = `${enableElements(input, output, { elementType: weightType }, ...epilogue?.inputs ?? [])}\
// Convolution as a matrix product: ${tile.pixels} pixels by ${tile.channels} channels${
    several ? ` of ${tile.groups} groups` : ""
  } a workgroup, ${tile.threadPixels} by ${tile.threadChannels} an invocation.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> weights: array<${storedType(weightType)}>;
@group(0) @binding(2) var<storage, read_write> output: array<${storedType(output.elementType)}>;
${declarations.map((text, i) => `@group(0) @binding(${3 + i}) ${text}`).join("\n")}
// [buffer][pixel of a thread][thread row]${several ? "[group]" : ""}[quad of the sum] and \
[buffer][product of the sum][quad of a thread][thread column].
var<workgroup> image_tile: ${
    quadArray([2, tile.threadPixels, threadRows, ...(several ? [tile.groups] : []), depthQuads])
  };
var<workgroup> weight_tile: ${quadArray([2, tile.depth, quads, threadColumns])};

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = workgroup.y * ${grid[0]}u + workgroup.x;
  let block = tile % ${blocks.blocks}u;
  let first_pixel = tile / ${blocks.blocks}u * ${tile.pixels}u;
  let first_group = block / ${blocksAGroup}u * ${tile.groups}u;
  let thread_row = thread / ${threadColumns}u;
  let thread_column = thread % ${threadColumns}u;
  let group = thread_column / ${groupColumns}u;
  let load_quad = thread % ${depthQuads}u;
  let load_group = thread / ${depthQuads}u % ${tile.groups}u;
  let channel_from = (first_group + load_group) * ${inputQuads}u;
  let weights_from = block * ${blocks.blockQuads}u + thread;
  ${
    imageSlots.map((slot, j) => {
      const pixel = `first_pixel + ${row(slot)}`;
      return `let pixel${j} = ${pastPixels ? `min(${pixel}, ${pixels - 1}u)` : pixel};
  let from${j} = ${inputAt(convolution, `pixel${j}`)} + channel_from;`;
    }).join("\n  ")
  }
  ${imageSlots.map((_, j) => `var image${j}: vec4<f32>;`).join(" ")}
  ${weightSlots.map((_, j) => `var weight${j}: vec4<f32>;`).join(" ")}
  ${sums.map((names) => names.map((name) => `var ${name} = vec4<f32>();`).join(" ")).join("\n  ")}
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
  let group_quad = block % ${blocksAGroup}u * ${tile.channels / 4}u + thread_column % ${groupColumns}u;
  ${
    range(quads).map((q) =>
      `let quad${q} = (first_group + group) * ${outputQuads}u + group_quad + ${q * groupColumns}u;`
    )
      .join("\n  ")
  }
  ${
    range(quads).flatMap((q) => (epilogue?.vectors(`quad${q}`) ?? []).map((text, i) => `let v${i}_${q} = ${text};`))
      .join("\n  ")
  }
  ${range(tile.threadPixels).map(store).join("\n  ")}
}
`;
  return { code, workgroups: grid };
}

/** `offset`: vec4s between the first product of a sum and the one that an invocation loads in a step. */
function sumOffset(convolution: TileConvolution, step: string): string[] {
  const { input, dy, dx, tile } = convolution;
  const { inputQuads } = tileBlocks(convolution);
  const depthQuads = tile.depth / 4;
  const loaded = `let quad = ${step} * ${depthQuads}u + load_quad;`;
  if (dy.length * dx.length === 1) return [loaded, "let offset = quad;"];
  const gap = (taps: readonly number[]) => taps.length > 1 ? taps[1] - taps[0] : 0;
  const lines = [
    `let tap = quad / ${inputQuads}u;`,
    `let tap_offset = tap / ${dx.length}u * ${gap(dy) * rowQuads(input)}u + tap % ${dx.length}u * ${
      gap(dx) * channelQuads(input)
    }u;`,
  ];
  const offset = `tap_offset + quad % ${inputQuads}u`;
  // Where a step lies within one tap, the tap is the same for all invocations.
  return inputQuads % depthQuads === 0
    ? [`let quad = ${step} * ${depthQuads}u;`, ...lines, `let offset = ${offset} + load_quad;`]
    : [loaded, ...lines, `let offset = ${offset};`];
}

/** The vec4 index of the first tap's input of a pixel. */
function inputAt({ input, rows, columns, inputStep, dy, dx }: TileConvolution, pixel: string): string {
  return pixelAt(input, { rows, columns, step: inputStep, y: dy[0], x: dx[0] }, pixel);
}

/** The vec4 index of `pixel` of the output grid in an image of the output's size. */
function outputAt({ rows, columns, outputStep, outputY, outputX }: TileConvolution, layout: ImageLayout): string {
  return pixelAt(layout, { rows, columns, step: outputStep, y: outputY, x: outputX }, "pixel");
}

/** A grid of pixels over an image: its size, and its first pixel and their distance there. */
interface PixelGrid {
  readonly rows: number;
  readonly columns: number;
  readonly step: number;
  readonly y: number;
  readonly x: number;
}

/** The vec4 index of a grid's pixel, counted through the batch, in a layout. */
export function pixelAt(layout: ImageLayout, { rows, columns, step, y, x }: PixelGrid, pixel: string): string {
  const { halo, height, width } = layout;
  const c4 = channelQuads(layout);
  const isWhole = halo === 0 && step === 1 && rows === height && columns === width && y === 0 && x === 0;
  if (isWhole) return `${pixel} * ${c4}u`;
  const image = `${pixel} / ${rows * columns}u * ${height + 2 * halo}u`;
  const row = `${image} + ${pixel} / ${columns}u % ${rows}u * ${step}u + ${halo + y}u`;
  return `((${row}) * ${width + 2 * halo}u + ${pixel} % ${columns}u * ${step}u + ${halo + x}u) * ${c4}u`;
}

/** What is stored of the sum of pixel p and quad q. */
function epilogueValue({ expression, inputs }: StripEpilogue, p: number, q: number): string {
  return expression
    .replaceAll(/\bvalue\b/g, `sum${p}_${q}`)
    .replaceAll(/\bv(\d+)\b/g, `v$1_${q}`)
    .replaceAll(/\be(\d+)\b/g, (_, i) => widened(`e${i}[in${i} + quad${q}]`, inputs[Number(i)].elementType));
}
