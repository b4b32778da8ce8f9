/**
 * Repacks a convolution's OIHW weights into the order in which the stencil kernel reads them:
 *
 *   packed[chunk][block] = header, then weight vec4s over 4 input channels for [input quad][kernel row][output channel][tap]
 *
 * The header holds the block's first destination quad and its first source quad, as numbers.
 * "Output" and "input" are those of the stencil: for the gradient of the input they trade places.
 */

export interface PackedWeights {
  readonly outputsPerGroup: number;
  readonly inputsPerGroup: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  /** Tap t stands for kernel position size - 1 - t. */
  readonly flipped: boolean;
  /** The stored weights have the stencil's inputs first. */
  readonly transposed: boolean;
  readonly blocks: number;
  readonly blocksPerGroup: number;
  readonly blockChannels: number;
  readonly blockQuads: number;
  readonly chunks: number;
  /** Input quads in a chunk. */
  readonly chunkQuads: number;
  /** Kernel rows in one step of the stencil's loop: 1, or all of them. */
  readonly stepRows: number;
}

export const PACK_WORKGROUP_SIZE = 64;

/** Bindings: weight (read), packed (read_write). One invocation writes one vec4. */
export function packWeightsCode(pack: PackedWeights): string {
  const { kernelHeight, kernelWidth, stepRows, blockChannels } = pack;
  const taps = stepRows * kernelWidth;
  const kernelSize = kernelHeight * kernelWidth;
  const loopRows = kernelHeight / stepRows;
  const used = 1 + pack.chunkQuads * loopRows * blockChannels * taps;
  const tap = pack.flipped ? `${kernelSize - 1}u - tap` : "tap";
  const index = pack.transposed
    ? `((group * ${pack.inputsPerGroup}u + i) * ${pack.outputsPerGroup}u + o) * ${kernelSize}u + ${tap}`
    : `((group * ${pack.outputsPerGroup}u + o) * ${pack.inputsPerGroup}u + i) * ${kernelSize}u + ${tap}`;
  return `@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;

fn weightAt(group: u32, o: u32, i: u32, tap: u32) -> f32 {
  if (o < ${pack.outputsPerGroup}u && i < ${pack.inputsPerGroup}u) { return weight[${index}]; }
  return 0f;
}

@compute @workgroup_size(${PACK_WORKGROUP_SIZE})
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let id = (workgroup.y * grid.x + workgroup.x) * ${PACK_WORKGROUP_SIZE}u + local;
  if (id >= ${pack.chunks * pack.blocks * pack.blockQuads}u) { return; }
  let place = id % ${pack.blockQuads}u;
  let block = id / ${pack.blockQuads}u % ${pack.blocks}u;
  let firstQuad = id / ${pack.blockQuads * pack.blocks}u * ${pack.chunkQuads}u;
  let group = block / ${pack.blocksPerGroup}u;
  let firstOutput = block % ${pack.blocksPerGroup}u * ${blockChannels}u;
  if (place == 0u) {
    let outputQuad = (group * ${pack.outputsPerGroup}u + firstOutput) / 4u;
    let inputQuad = group * ${pack.inputsPerGroup}u / 4u + firstQuad;
    packed[id] = vec4<f32>(f32(outputQuad), f32(inputQuad), 0f, 0f);
  } else if (place >= ${used}u) {
    packed[id] = vec4<f32>(0f);
  } else {
    let step = (place - 1u) / ${blockChannels * taps}u;
    let o = firstOutput + (place - 1u) / ${taps}u % ${blockChannels}u;
    let tap = step % ${loopRows}u * ${taps}u + (place - 1u) % ${taps}u;
    let i = (firstQuad + step / ${loopRows}u) * 4u;
    packed[id] = vec4<f32>(
      weightAt(group, o, i, tap),
      weightAt(group, o, i + 1u, tap),
      weightAt(group, o, i + 2u, tap),
      weightAt(group, o, i + 3u, tap),
    );
  }
}
`;
}
