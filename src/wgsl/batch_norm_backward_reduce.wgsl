// Sums over slices of rows that the gradients of batch norm need.
//   partials[slice, 0, c] = sum dy;  partials[slice, 1, c] = sum dy * xhat,  xhat = (x - mean) / sqrt(variance + EPSILON)
// With RELU, dy counts only where the normalised value was above 0.
// One invocation takes one channel quad of ROWS_PER_SLICE rows.
override C4: u32;
override HEIGHT: u32;
override WIDTH: u32;
override X_HALO: u32;
override DY_HALO: u32;
override ROWS: u32;
override ROWS_PER_SLICE: u32;
override SLICES: u32;
override RELU: bool;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> dy: array<Quad>;
@group(0) @binding(2) var<storage, read> statistics: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;

fn row_start(row: u32, c: u32, halo: u32) -> u32 {
  let padded_row = (row / HEIGHT) * (HEIGHT + 2u * halo) + row % HEIGHT + halo;
  return (padded_row * (WIDTH + 2u * halo) + halo) * C4 + c;
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x % C4;
  let slice = id.x / C4;
  if (slice >= SLICES) { return; }
  let mean = statistics[c];
  let inverse = statistics[C4 + c];
  let scale = statistics[2u * C4 + c];
  let shift = statistics[3u * C4 + c];
  let first = slice * ROWS_PER_SLICE;
  let last = min(first + ROWS_PER_SLICE, ROWS);
  var sum = vec4<f32>();
  var products = vec4<f32>();
  for (var row = first; row < last; row++) {
    let x_start = row_start(row, c, X_HALO);
    let dy_start = row_start(row, c, DY_HALO);
    for (var px = 0u; px < WIDTH; px++) {
      let value = vec4<f32>(x[x_start + px * C4]);
      var g = vec4<f32>(dy[dy_start + px * C4]);
      if (RELU) { g = select(vec4<f32>(), g, value * scale + shift > vec4<f32>()); }
      sum += g;
      products += g * (value - mean);
    }
  }
  partials[slice * 2u * C4 + c] = sum;
  partials[(slice * 2u + 1u) * C4 + c] = products * inverse;
}
