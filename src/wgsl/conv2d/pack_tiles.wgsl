// Packs OIHW weights into the blocks that the tile kernel reads.
//   block = group block, channel block:  [product of the sum][quad of a thread][thread column] of vec4 over output
//   channels, products being (tap row, tap column, input channel), zeros past their end.
// Of a transposed packing (the input gradient) the roles of output and input channels are exchanged.
// Tap (r, s) takes the weight at (KY_START + r KY_STEP, KX_START + s KX_STEP).
// One invocation writes one vec4.
override OUT: u32;
override IN: u32;
override GROUPS: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override TRANSPOSED: bool;
override TAP_ROWS: u32;
override TAP_COLUMNS: u32;
override KY_START: i32;
override KY_STEP: i32;
override KX_START: i32;
override KX_STEP: i32;
override INPUT_QUADS: u32;
override BLOCK_QUADS: u32;
override BLOCKS_A_GROUP: u32;
override TILE_GROUPS: u32;
override THREAD_QUADS: u32;
override GROUP_COLUMNS: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> blocks: array<Quad>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= BLOCK_QUADS) { return; }
  let block = id.y;
  let columns = TILE_GROUPS * GROUP_COLUMNS;
  let column = id.x % columns;
  let thread_quad = id.x / columns % THREAD_QUADS;
  let product = id.x / (columns * THREAD_QUADS);
  let group = block / BLOCKS_A_GROUP * TILE_GROUPS + column / GROUP_COLUMNS;
  // Channels a group, of what the kernel reads and writes.
  let reads = select(IN, OUT, TRANSPOSED) / GROUPS;
  let writes = select(OUT, IN, TRANSPOSED) / GROUPS;
  let quad = (block % BLOCKS_A_GROUP * THREAD_QUADS + thread_quad) * GROUP_COLUMNS + column % GROUP_COLUMNS;
  let tap = product / 4u / INPUT_QUADS;
  let read = product / 4u % INPUT_QUADS * 4u + product % 4u;
  let ky = u32(KY_START + i32(tap / TAP_COLUMNS) * KY_STEP);
  let kx = u32(KX_START + i32(tap % TAP_COLUMNS) * KX_STEP);
  var packed = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    let write = quad * 4u + i;
    if (tap < TAP_ROWS * TAP_COLUMNS && read < reads && write < writes) {
      let o = group * (OUT / GROUPS) + select(write, read, TRANSPOSED);
      let within = select(read, write, TRANSPOSED);
      packed[i] = weight[((o * (IN / GROUPS) + within) * KERNEL_HEIGHT + ky) * KERNEL_WIDTH + kx];
    }
  }
  blocks[block * BLOCK_QUADS + id.x] = Quad(packed);
}
