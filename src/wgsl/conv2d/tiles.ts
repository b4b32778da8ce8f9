import { enableElements, storedType, widened } from "../element_type.ts";
import { channelQuads, rowQuads } from "../layout.ts";
import { pixelAt, type TileConvolution, tileExtents, type TileSource, tileThreads } from "./tile_convolution.ts";
import { quadArray, workgroupGrid } from "./tile_memory.ts";
import { epilogueBindings, epilogueVectors } from "./epilogue.ts";
import { pixelStarts, storeSum } from "./tile_stores.ts";

/** What the parts of the text share. */
interface TilePlan extends ReturnType<typeof tileExtents>, ReturnType<typeof tileThreads> {
  readonly convolution: TileConvolution;
  /** The depth of a step, in quads. */
  readonly depthQuads: number;
  /** Loads of an invocation in a step: of the pixels' matrix, each so many thread rows further, and of the weights. */
  readonly imageLoads: number;
  readonly loadRows: number;
  readonly weightLoads: number;
  /** Rows of quads of the weights' tile that a load of all invocations fills. */
  readonly weightRows: number;
  readonly slices: number;
  readonly grid: readonly [number, number, number];
  /** Whether some workgroup's tile goes past the pixels, or the channels of a group. */
  readonly pastPixels: boolean;
  readonly pastChannels: boolean;
}

/**
 * Text of the kernel. A workgroup sums a tile of pixels by channels. Step by step along (tap, input channel), its
 * invocations fetch the next part of the matrix of pixels and of the weights into registers while they sum what is in
 * workgroup memory; there are two buffers of each, so a step has one barrier. (The last step fetches itself again: cached
 * loads cost less than a branch, around which compilers schedule nothing.) Pixels lie there in quads along the
 * channels that are summed over, as the input has them; weights in quads of output channels. An invocation holds its
 * sums in named variables. Its pixels are `rows` apart and its channel quads `groupColumns`, so that neighbours read and
 * store neighbouring addresses; and the arrays are nested so that what an invocation reads and writes has indices that are
 * the same in every step, so that they are bounds-checked once, or constants. Bindings: input, packed weights, output; of
 * slices the output is their sums.
 */
export function tileSource(
  convolution: TileConvolution,
  { maxWorkgroups }: { readonly maxWorkgroups: number },
): TileSource {
  const plan = tilePlan(convolution, maxWorkgroups);
  const { input, output, tile, weightType, epilogue, sliceSteps } = convolution;
  const { columns, rows, threads, quads, groupColumns, depthQuads, slices, grid } = plan;
  const whole = slices === 1;
  const sums = range(tile.threadPixels).flatMap((p) => range(quads).map((q) => sumName(p, q)));
  const end = whole ? `${plan.steps}u` : "last_step";
  const groups = tile.groups > 1 ? ` of ${tile.groups} groups` : "";
  const code = `${enableElements(input, output, { elementType: weightType }, ...epilogue?.inputs ?? [])}\
// Convolution as a matrix product: ${tile.pixels} pixels by ${tile.channels} channels${groups} a workgroup,
// ${tile.threadPixels} by ${tile.threadChannels} an invocation, ${tile.depth} products a step.
@group(0) @binding(0) var<storage, read> input: array<${storedType(input.elementType)}>;
@group(0) @binding(1) var<storage, read> weights: array<${storedType(weightType)}>;
@group(0) @binding(2) var<storage, read_write> output: array<${storedType(whole ? output.elementType : "f32")}>;
${whole ? epilogueBindings(epilogue, 3) : ""}
// [buffer][load][thread rows of a load][thread row][group][quad of the sum]
var<workgroup> image_tile: ${quadArray([2, plan.imageLoads, plan.loadRows, rows, tile.groups, depthQuads])};
// [buffer][load][product of the sum, quad of a thread][thread column]
var<workgroup> weight_tile: ${quadArray([2, plan.weightLoads, plan.weightRows, columns])};

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = workgroup.y * ${grid[0]}u + workgroup.x;
  let block = tile % ${plan.blocks}u;
  let first_pixel = tile / ${plan.blocks}u * ${tile.pixels}u;
  let first_group = block / ${plan.blocksAGroup}u * ${tile.groups}u;
  let thread_row = thread / ${columns}u;
  let thread_column = thread % ${columns}u;
  let group = thread_column / ${groupColumns}u;
  let load_quad = thread % ${depthQuads}u;
  let load_group = thread / ${depthQuads}u % ${tile.groups}u;
  let load_pixel = thread / ${tile.groups * depthQuads}u;
  let load_rows = load_pixel / ${rows}u;
  let load_row = load_pixel % ${rows}u;
  let weights_from = block * ${plan.blockQuads}u + thread;
  ${
    whole ? "" : `let first_step = workgroup.z * ${sliceSteps}u;
  let last_step = min(first_step + ${sliceSteps}u, ${plan.steps}u);`
  }
  ${inputStarts(plan).join("\n  ")}
  ${range(plan.imageLoads).map((j) => `var image${j}: vec4<f32>;`).join(" ")}
  ${range(plan.weightLoads).map((j) => `var weight${j}: vec4<f32>;`).join(" ")}
  ${sums.map((sum) => `var ${sum} = vec4<f32>();`).join("\n  ")}
  {
    ${fetchStep(plan, whole ? "0u" : "first_step").join("\n    ")}
  }
  for (var step = ${whole ? "0u" : "first_step"}; step < ${end}; step++) {
    let buffer = step % 2u;
    ${stageStep(plan).join("\n    ")}
    workgroupBarrier();
    let next = min(step + 1u, ${whole ? `${plan.steps - 1}u` : "last_step - 1u"});
    {
      ${fetchStep(plan, "next").join("\n      ")}
    }
    ${range(depthQuads).map((k) => block("", products(plan, k))).join("\n    ")}
  }
  let group_quad = block % ${plan.blocksAGroup}u * ${tile.channels / 4}u + thread_column % ${groupColumns}u;
  let first_quad = (first_group + group) * ${plan.outputQuads}u + group_quad;
  ${range(quads).map((q) => `let quad${q} = first_quad + ${q * groupColumns}u;`).join("\n  ")}
  ${whole ? range(quads).flatMap((q) => epilogueVectors(epilogue, `quad${q}`, `_${q}`)).join("\n  ") : ""}
  ${range(tile.threadPixels).map((p) => storePixel(plan, p)).join("\n  ")}
}
`;
  return { code, workgroups: grid };
}

function tilePlan(convolution: TileConvolution, maxWorkgroups: number): TilePlan {
  const { tile, sliceSteps } = convolution;
  const threads = tileThreads(tile);
  const extents = tileExtents(convolution);
  const depthQuads = tile.depth / 4;
  const slices = Math.ceil(extents.steps / sliceSteps);
  const [x, y] = workgroupGrid(extents.tiles, maxWorkgroups);
  // Whole thread rows of pixels are loaded at once, so that the places of a load are the same in every step.
  const tileColumns = tile.groups * depthQuads;
  const imageLoads = tile.pixels * tileColumns / threads.threads;
  const loadRows = threads.columns / tileColumns;
  if (!Number.isInteger(imageLoads) || !Number.isInteger(loadRows)) {
    throw new Error(
      `Cannot share ${tile.pixels}x${tileColumns} loads among ${threads.rows}x${threads.columns} threads`,
    );
  }
  const weightRows = tile.depth * threads.quads;
  return {
    ...threads,
    ...extents,
    convolution,
    depthQuads,
    imageLoads,
    loadRows,
    weightLoads: Math.ceil(weightRows / threads.rows),
    weightRows: Math.min(weightRows, threads.rows),
    slices,
    grid: [x, y, slices],
    pastPixels: extents.pixels % tile.pixels !== 0 || x * y !== extents.tiles,
    pastChannels: extents.outputQuads * 4 % tile.channels !== 0,
  };
}

/** `from<j>`: the vec4 index of the first product's input of the pixel of load j. */
function inputStarts(plan: TilePlan): string[] {
  const { input, rows, columns, inputStep, dy, dx } = plan.convolution;
  const grid = { rows, columns, step: inputStep, y: dy[0], x: dx[0] };
  const channel = `(first_group + load_group) * ${plan.inputQuads}u`;
  return range(plan.imageLoads).flatMap((j) => {
    const pixel = `first_pixel + load_pixel + ${j * plan.loadRows * plan.rows}u`;
    return [
      `let pixel${j} = ${plan.pastPixels ? `min(${pixel}, ${plan.pixels - 1}u)` : pixel};`,
      `let from${j} = ${pixelAt(input, grid, `pixel${j}`)} + ${channel};`,
    ];
  });
}

/** From memory to registers; past the sum's last product stand zeros. */
function fetchStep(plan: TilePlan, step: string): string[] {
  const { convolution, sumQuads, stepQuads, depthQuads, threads } = plan;
  const { input, weightType } = convolution;
  return [
    ...productOffset(plan, step),
    ...range(plan.imageLoads).map((j) => {
      const value = widened(`input[from${j} + offset]`, input.elementType);
      const past = sumQuads % depthQuads !== 0;
      return `image${j} = ${past ? `select(vec4<f32>(), ${value}, quad < ${sumQuads}u)` : value};`;
    }),
    ...range(plan.weightLoads).map((j) => {
      const at = `weights_from + ${step} * ${stepQuads}u + ${j * threads}u`;
      return `weight${j} = ${widened(`weights[${at}]`, weightType)};`;
    }),
  ];
}

/** `offset`: vec4s between the first product of a sum and the one that an invocation loads in a step. */
function productOffset({ convolution: { input, dy, dx }, inputQuads, depthQuads }: TilePlan, step: string): string[] {
  const loaded = `let quad = ${step} * ${depthQuads}u + load_quad;`;
  if (dy.length * dx.length === 1) return [loaded, "let offset = quad;"];
  const gap = (taps: readonly number[]) => taps.length > 1 ? taps[1] - taps[0] : 0;
  const [rowGap, columnGap] = [gap(dy) * rowQuads(input), gap(dx) * channelQuads(input)];
  const lines = [
    `let tap = quad / ${inputQuads}u;`,
    `let tap_offset = tap / ${dx.length}u * ${rowGap}u + tap % ${dx.length}u * ${columnGap}u;`,
  ];
  const offset = `tap_offset + quad % ${inputQuads}u`;
  // Where a step lies within one tap, the tap is the same for all invocations.
  return inputQuads % depthQuads === 0
    ? [`let quad = ${step} * ${depthQuads}u;`, ...lines, `let offset = ${offset} + load_quad;`]
    : [loaded, ...lines, `let offset = ${offset};`];
}

/** From registers to workgroup memory. */
function stageStep({ imageLoads, weightLoads, weightRows, rows }: TilePlan): string[] {
  const store = (j: number) => `weight_tile[buffer][${j}][thread_row][thread_column] = weight${j};`;
  return [
    ...range(imageLoads).map((j) =>
      `image_tile[buffer][${j}][load_rows][load_row][load_group][load_quad] = image${j};`
    ),
    ...range(weightLoads).map((j) =>
      weightRows < rows ? block(`if (thread_row < ${weightRows}u)`, [store(j)]) : store(j)
    ),
  ];
}

/** The sums of products 4k to 4k + 3 of a step. */
function products({ convolution: { tile }, quads, loadRows, weightRows }: TilePlan, k: number): string[] {
  const pixels = range(tile.threadPixels);
  const pixelPlace = (p: number) => `[${Math.floor(p / loadRows)}][${p % loadRows}]`;
  const weightPlace = (row: number) => `[${Math.floor(row / weightRows)}][${row % weightRows}]`;
  // An index of an array of one element is a constant.
  const group = tile.groups > 1 ? "group" : "0";
  return [
    ...pixels.map((p) => `let x${p} = image_tile[buffer]${pixelPlace(p)}[thread_row][${group}][${k}];`),
    ...range(4).flatMap((c) => [
      ...range(quads).map((q) =>
        `let w${c}_${q} = weight_tile[buffer]${weightPlace((4 * k + c) * quads + q)}[thread_column];`
      ),
      ...pixels.flatMap((p) =>
        range(quads).map((q) => `${sumName(p, q)} = fma(vec4<f32>(x${p}.${"xyzw"[c]}), w${c}_${q}, ${sumName(p, q)});`)
      ),
    ]),
  ];
}

/** Stores the sums of an invocation's pixel p, or of a slice writes them to its partial sums. */
function storePixel(plan: TilePlan, p: number): string {
  const { convolution, rows, quads, groupColumns, pixels, outputQuads, slices } = plan;
  const starts = slices === 1
    ? pixelStarts(convolution)
    : [`let out = (workgroup.z * ${pixels}u + pixel) * ${channelQuads(convolution.output)}u;`];
  const stores = range(quads).map((q) => {
    const store = slices === 1 ? storeSum(convolution, sumName(p, q), q) : `output[out + quad${q}] = ${sumName(p, q)};`;
    return plan.pastChannels ? block(`if (group_quad + ${q * groupColumns}u < ${outputQuads}u)`, [store]) : store;
  });
  const pixel = `let pixel = first_pixel + ${p * rows}u + thread_row;`;
  const statements = [...starts, ...stores];
  return block("", [pixel, ...(plan.pastPixels ? [block(`if (pixel < ${pixels}u)`, statements)] : statements)]);
}

function sumName(p: number, q: number): string {
  return `sum${p}_${q}`;
}

function block(head: string, statements: readonly string[]): string {
  return `${head} {\n    ${statements.join("\n    ")}\n  }`.trimStart();
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
