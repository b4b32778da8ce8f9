// Partial sums of the gradient of k in u' = (A + A_SLOPE k) a + (B + B_SLOPE k) b + ...:
//   dk = sum g * (A_SLOPE a + B_SLOPE b)
// partials: one f32 an invocation, or four, a channel each; an invocation takes one channel quad of ROWS_PER_SLICE rows.
override C4: u32;
override HEIGHT: u32;
override WIDTH: u32;
override G_HALO: u32;
override A_HALO: u32;
override B_HALO: u32;
override A_SLOPE: f32;
override B_SLOPE: f32;
override PER_CHANNEL: u32;
override ROWS: u32;
override ROWS_PER_SLICE: u32;
override SLICES: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> g: array<Quad>;
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Quad>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

fn row_start(row: u32, c: u32, halo: u32) -> u32 {
  let padded_row = (row / HEIGHT) * (HEIGHT + 2u * halo) + row % HEIGHT + halo;
  return (padded_row * (WIDTH + 2u * halo) + halo) * C4 + c;
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x % C4;
  let slice = id.x / C4;
  if (slice >= SLICES) { return; }
  let first = slice * ROWS_PER_SLICE;
  let last = min(first + ROWS_PER_SLICE, ROWS);
  var sum = vec4<f32>();
  for (var row = first; row < last; row++) {
    let g_start = row_start(row, c, G_HALO);
    let a_start = row_start(row, c, A_HALO);
    let b_start = row_start(row, c, B_HALO);
    for (var px = 0u; px < WIDTH; px++) {
      let offset = px * C4;
      let combined = A_SLOPE * vec4<f32>(a[a_start + offset]) + B_SLOPE * vec4<f32>(b[b_start + offset]);
      sum += vec4<f32>(g[g_start + offset]) * combined;
    }
  }
  if (PER_CHANNEL == 0u) {
    partials[id.x] = sum.x + sum.y + sum.z + sum.w;
    return;
  }
  for (var i = 0u; i < 4u; i++) { partials[4u * id.x + i] = sum[i]; }
}
