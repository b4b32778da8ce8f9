// Packs OIHW weights into the blocks that the strip kernel binds as uniforms.
//   block = group, output block, input chunk:  header (output quad, input quad, 0, 0), then
//   [input quad][tap row][channel][tap column][output quad] of vec4 over output channels
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
override KY_START: u32;
override KY_STEP: u32;
override KX_START: u32;
override KX_STEP: u32;
override CHUNK_QUADS: u32;
override CHUNKS: u32;
override BLOCK_QUADS: u32;
override BLOCKS_A_GROUP: u32;
override BLOCKS: u32;
override STRIDE: u32;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> blocks: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let size = 1u + CHUNK_QUADS * TAP_ROWS * 4u * TAP_COLUMNS * BLOCK_QUADS;
  let block = id.y;
  if (id.x >= size || block >= BLOCKS) { return; }
  let chunk = block % CHUNKS;
  let out_block = block / CHUNKS;
  let group = out_block / BLOCKS_A_GROUP;
  // Channels a group, of what the kernel reads and writes.
  let reads = select(IN, OUT, TRANSPOSED) / GROUPS;
  let writes = select(OUT, IN, TRANSPOSED) / GROUPS;
  let first_quad = (out_block % BLOCKS_A_GROUP) * BLOCK_QUADS;
  if (id.x == 0u) {
    let out_quad = group * (writes / 4u) + first_quad;
    blocks[block * STRIDE] = vec4<u32>(out_quad, group * (reads / 4u) + chunk * CHUNK_QUADS, 0u, 0u);
    return;
  }
  var rest = id.x - 1u;
  let quad = rest % BLOCK_QUADS;
  rest /= BLOCK_QUADS;
  let tap_column = rest % TAP_COLUMNS;
  rest /= TAP_COLUMNS;
  let lane = rest % 4u;
  rest /= 4u;
  let tap_row = rest % TAP_ROWS;
  let read = (chunk * CHUNK_QUADS + rest / TAP_ROWS) * 4u + lane;
  let tap = (KY_START + tap_row * KY_STEP) * KERNEL_WIDTH + KX_START + tap_column * KX_STEP;
  let taps = KERNEL_HEIGHT * KERNEL_WIDTH;
  var packed = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    let write = (first_quad + quad) * 4u + i;
    if (read < reads && write < writes) {
      let o = group * (OUT / GROUPS) + select(write, read, TRANSPOSED);
      let within = select(read, write, TRANSPOSED);
      packed[i] = weight[(o * (IN / GROUPS) + within) * taps + tap];
    }
  }
  blocks[block * STRIDE + id.x] = bitcast<vec4<u32>>(packed);
}
