// Sums the slices' partial weight gradients in order and writes OIHW.
// partials: [tile][slice][tap row][tap column][input quad][channel] of vec4 over output channels, output quads innermost.
// One invocation takes one vec4 of one tile.
override OUT: u32;
override IN: u32;
override GROUPS: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override TAP_ROWS: u32;
override IN_QUADS: u32;
override OUT_QUADS: u32;
override TAP_TILES: u32;
override OUT_TILES: u32;
override IN_TILES: u32;
override SLICES: u32;

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> d_weight: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let size = TAP_ROWS * KERNEL_WIDTH * IN_QUADS * 4u * OUT_QUADS;
  if (id.x >= size) { return; }
  let tile = id.y;
  let tap_tile = tile % TAP_TILES;
  let out_tile = (tile / TAP_TILES) % OUT_TILES;
  let in_tile = (tile / (TAP_TILES * OUT_TILES)) % IN_TILES;
  let group = tile / (TAP_TILES * OUT_TILES * IN_TILES);
  let out_quad = id.x % OUT_QUADS;
  let channel = (id.x / OUT_QUADS) % 4u;
  let in_quad = (id.x / (OUT_QUADS * 4u)) % IN_QUADS;
  let kx = (id.x / (OUT_QUADS * 4u * IN_QUADS)) % KERNEL_WIDTH;
  let ky = tap_tile * TAP_ROWS + id.x / (OUT_QUADS * 4u * IN_QUADS * KERNEL_WIDTH);
  let i = (in_tile * IN_QUADS + in_quad) * 4u + channel;
  if (i >= IN / GROUPS) { return; }
  var sum = vec4<f32>();
  for (var slice = 0u; slice < SLICES; slice++) { sum += partials[(tile * SLICES + slice) * size + id.x]; }
  let first = (out_tile * OUT_QUADS + out_quad) * 4u;
  for (var lane = 0u; lane < 4u; lane++) {
    let within = first + lane;
    if (within < OUT / GROUPS) {
      let o = group * (OUT / GROUPS) + within;
      d_weight[((o * (IN / GROUPS) + i) * KERNEL_HEIGHT + ky) * KERNEL_WIDTH + kx] = sum[lane];
    }
  }
}
