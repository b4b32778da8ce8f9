/**
 * The register-tile kernel of a convolution and of its input's gradient.
 *
 *   destination[n, y, x, o] (+)= sum over taps and channels i of source[n, position(y, tap), position(x, tap), i] * weight[o, i, tap]
 *
 * Source and destination are NHWC quads with a halo; weights come packed (see pack_weights.ts), one run of vec4s
 * a block of output channels. One invocation makes a tile of output pixels by one block of output channels, all
 * its sums in named variables: on software Vulkan a load costs a hundred multiply-adds, so everything loaded is
 * used for the whole tile. One flat loop runs over (input quad, kernel row), or over input quads alone where the
 * rows cannot be looped over; the rest is unrolled. There is no barrier and no early return.
 */
import { range, rollingStep, type StencilAxis, tileCount } from "./stencil_axis.ts";

/** Where an image's elements are, in quads. */
export interface ImageLayout {
  readonly quads: number;
  readonly width: number;
  readonly height: number;
  readonly halo: number;
}

export interface StencilKernel {
  readonly source: ImageLayout;
  readonly destination: ImageLayout;
  readonly vertical: StencilAxis;
  readonly horizontal: StencilAxis;
  /** Output channels of a block, a multiple of 4. */
  readonly blockChannels: number;
  /** Input quads that one run sums over. */
  readonly sourceQuads: number;
  /** Adds to what the destination holds. */
  readonly accumulate: boolean;
  /** Blocks in one binding of packed weights, one a workgroup along z. */
  readonly blocks: number;
  /** Whether the last block of a group may reach past the destination's quads. */
  readonly partialBlocks: boolean;
  readonly workgroupSize: number;
}

/** Multiply-adds of one loop iteration, an upper bound for the straight-line code. */
export function stencilBody(kernel: Pick<StencilKernel, "vertical" | "horizontal" | "blockChannels">) {
  const rows = rollingStep(kernel.vertical) === undefined ? kernel.vertical.taps : 1;
  const pairs = (axis: StencilAxis) => axis.reads.reduce((sum, list) => sum + list.length, 0);
  const verticalPairs = rows === 1 ? kernel.vertical.tile : pairs(kernel.vertical);
  return {
    /** Kernel rows that the loop runs over; 1 where they are unrolled. */
    loopRows: rows === 1 ? kernel.vertical.taps : 1,
    /** Taps whose weights one iteration reads. */
    taps: rows * kernel.horizontal.taps,
    multiplyAdds: verticalPairs * pairs(kernel.horizontal) * 4 * kernel.blockChannels,
  };
}

/** vec4s of one block of packed weights: a header, then a vec4 over input channels for each step, output channel and tap. */
export function packedBlockQuads(
  kernel: Pick<StencilKernel, "vertical" | "horizontal" | "blockChannels" | "sourceQuads">,
) {
  const { loopRows, taps } = stencilBody(kernel);
  const used = 1 + kernel.sourceQuads * loopRows * kernel.blockChannels * taps;
  return Math.ceil(used / 16) * 16; // a block starts at a multiple of 256 bytes
}

/** Bindings: source (read), weights (uniform), destination (read_write). */
export function stencilCode(kernel: StencilKernel): string {
  const { source, destination, vertical, horizontal, blockChannels } = kernel;
  const { loopRows, taps } = stencilBody(kernel);
  const sourcePitch = (source.width + 2 * source.halo) * source.quads;
  const sourceImage = (source.height + 2 * source.halo) * sourcePitch;
  const pitch = (destination.width + 2 * destination.halo) * destination.quads;
  const image = (destination.height + 2 * destination.halo) * pitch;
  const tilesX = tileCount(horizontal);
  const tiles = tileCount(vertical) * tilesX;
  const blockQuads = packedBlockQuads(kernel);
  const pixels = range(vertical.tile).flatMap((y) => range(horizontal.tile).map((x) => ({ y, x })));
  const sourceOrigin = (source.halo + vertical.sourceStart) * sourcePitch +
    (source.halo + horizontal.sourceStart) * source.quads;

  return `@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> weights: array<vec4<f32>, ${kernel.blocks * blockQuads}>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<f32>>;

@compute @workgroup_size(${kernel.workgroupSize})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let id = (group.y * grid.x + group.x) * ${kernel.workgroupSize}u + local;
  let count = arrayLength(&destination) / ${image}u * ${tiles}u;
  let tile = min(id, count - 1u);
  let n = tile / ${tiles}u;
  let tileY = tile % ${tiles}u / ${tilesX}u;
  let tileX = tile % ${tilesX}u;
  let block = group.z * ${blockQuads}u;
  let header = weights[block];
  let quad = u32(header.x);
  var at = n * ${sourceImage}u + tileY * ${vertical.sourceStep * sourcePitch}u + tileX * ${
    horizontal.sourceStep * source.quads
  }u + ${sourceOrigin}u + u32(header.y);
  let to = n * ${image}u + (tileY * ${vertical.tile}u + ${destination.halo}u) * ${pitch}u + (tileX * ${horizontal.tile}u + ${destination.halo}u) * ${destination.quads}u + quad;
${sums()}
  for (var step = 0u; step < ${kernel.sourceQuads * loopRows}u; step++) {
    let w = block + 1u + step * ${blockChannels * taps}u;
    let from = at${loopRows === 1 ? " + step" : ` + step / ${loopRows}u + step % ${loopRows}u * ${sourcePitch}u`};
${body()}
  }
  if (id < count) {
${stores()}
  }
}
`;

  function sums(): string {
    return pixels.flatMap((_, p) =>
      range(blockChannels).map((o) => {
        const start = kernel.accumulate ? `destination[${target(p, o >> 2)}].${"xyzw"[o & 3]}` : "0f";
        return `  var s${p}_${o} = ${start};`;
      })
    ).join("\n");
  }

  function target(p: number, q: number): string {
    return `to + ${pixels[p].y * pitch + pixels[p].x * destination.quads + q}u`;
  }

  function body(): string {
    const loads = new Map<string, string>();
    const lines: string[] = [];
    for (const o of range(blockChannels)) {
      for (const t of range(taps)) lines.push(`    let w${o}_${t} = weights[w + ${o * taps + t}u];`);
      pixels.forEach(({ y, x }, p) => {
        const rowReads = loopRows === 1 ? vertical.reads[y] : vertical.reads[y].slice(0, 1);
        let sum = `s${p}_${o}`;
        for (const row of rowReads) {
          for (const column of horizontal.reads[x]) {
            const name = `x${row.position}_${column.position}`;
            loads.set(
              name,
              `    let ${name} = source[from + ${row.position * sourcePitch + column.position * source.quads}u];`,
            );
            const weight = `w${o}_${(loopRows === 1 ? row.tap * horizontal.taps : 0) + column.tap}`;
            for (const c of "xyzw") sum = `fma(${name}.${c}, ${weight}.${c}, ${sum})`;
          }
        }
        if (sum !== `s${p}_${o}`) lines.push(`    s${p}_${o} = ${sum};`);
      });
    }
    return [...loads.values(), ...lines].join("\n");
  }

  function stores(): string {
    const lines: string[] = [];
    pixels.forEach(({ y, x }, p) => {
      for (const q of range(blockChannels / 4)) {
        const conditions = [
          ...overhang("tileY", vertical, y),
          ...overhang("tileX", horizontal, x),
          ...(kernel.partialBlocks ? [`quad + ${q}u < ${destination.quads}u`] : []),
        ];
        const sum = range(4).map((c) => `s${p}_${q * 4 + c}`).join(", ");
        const store = `destination[${target(p, q)}] = vec4<f32>(${sum});`;
        lines.push(conditions.length ? `    if (${conditions.join(" && ")}) { ${store} }` : `    ${store}`);
      }
    });
    return lines.join("\n");
  }

  function overhang(tile: string, axis: StencilAxis, output: number): string[] {
    const last = axis.outputs % axis.tile;
    return last !== 0 && output >= last ? [`${tile} * ${axis.tile}u + ${output}u < ${axis.outputs}u`] : [];
  }
}
