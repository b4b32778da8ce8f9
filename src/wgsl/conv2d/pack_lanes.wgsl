// Packs OIHW weights into the blocks that the lane kernel reads.
//   block = group, output block; in it PARTS parts of PART_TAPS taps each, counted over rows, then columns
//   part: header (output channel, input quad, 0, 0), then
//   [input quad][tap][channel of the lane][lane] of vec4 over input channels
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
override INPUT_QUADS: u32;
override LANES: u32;
override LANE_CHANNELS: u32;
override BLOCKS_A_GROUP: u32;
override PARTS: u32;
override PART_TAPS: u32;
override STRIDE: u32;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> blocks: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let size = 1u + INPUT_QUADS * PART_TAPS * LANE_CHANNELS * LANES;
  if (id.x >= size) { return; }
  let at = id.y * STRIDE + id.x;
  let block = id.y / PARTS;
  let part = id.y % PARTS;
  let group = block / BLOCKS_A_GROUP;
  // Channels a group, of what the kernel reads and writes.
  let reads = select(IN, OUT, TRANSPOSED) / GROUPS;
  let writes = select(OUT, IN, TRANSPOSED) / GROUPS;
  let first = (block % BLOCKS_A_GROUP) * LANES * LANE_CHANNELS;
  if (id.x == 0u) {
    blocks[at] = vec4<u32>(group * writes + first, group * (reads / 4u), 0u, 0u);
    return;
  }
  var rest = id.x - 1u;
  let lane = rest % LANES;
  rest /= LANES;
  let write = first + lane * LANE_CHANNELS + rest % LANE_CHANNELS;
  rest /= LANE_CHANNELS;
  let index = part * PART_TAPS + rest % PART_TAPS;
  let quad = rest / PART_TAPS;
  let tap = (KY_START + index / TAP_COLUMNS * KY_STEP) * KERNEL_WIDTH + KX_START + index % TAP_COLUMNS * KX_STEP;
  let taps = KERNEL_HEIGHT * KERNEL_WIDTH;
  var packed = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    let read = quad * 4u + i;
    if (read < reads && write < writes && index < TAP_ROWS * TAP_COLUMNS) {
      let o = group * (OUT / GROUPS) + select(write, read, TRANSPOSED);
      let within = select(read, write, TRANSPOSED);
      packed[i] = weight[(o * (IN / GROUPS) + within) * taps + tap];
    }
  }
  blocks[at] = bitcast<vec4<u32>>(packed);
}
