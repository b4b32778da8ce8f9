// Mean and sum of squared deviations of each channel over slices of rows.
//   partials[slice, 0, c] = mean of x over the slice;  partials[slice, 1, c] = sum (x - mean)^2
// x: [N, H, W, C] with a border; partials: [SLICES, 2, C4] vec4.
// One invocation takes one channel quad of ROWS_PER_SLICE rows. It sums deviations from the slice's
// first element, so that a mean far from 0 costs no precision.
override C4: u32;
override HEIGHT: u32;
override WIDTH: u32;
override HALO: u32;
override ROWS: u32;
override ROWS_PER_SLICE: u32;
override SLICES: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4<f32>>;

fn row_start(row: u32, c: u32) -> u32 {
  let padded_row = (row / HEIGHT) * (HEIGHT + 2u * HALO) + row % HEIGHT + HALO;
  return (padded_row * (WIDTH + 2u * HALO) + HALO) * C4 + c;
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x % C4;
  let slice = id.x / C4;
  if (slice >= SLICES) { return; }
  let first = slice * ROWS_PER_SLICE;
  let last = min(first + ROWS_PER_SLICE, ROWS);
  let shift = vec4<f32>(x[row_start(first, c)]);
  var sum = vec4<f32>();
  var squares = vec4<f32>();
  for (var row = first; row < last; row++) {
    let start = row_start(row, c);
    for (var px = 0u; px < WIDTH; px++) {
      let d = vec4<f32>(x[start + px * C4]) - shift;
      sum += d;
      squares += d * d;
    }
  }
  let count = f32((last - first) * WIDTH);
  partials[slice * 2u * C4 + c] = shift + sum / count;
  partials[(slice * 2u + 1u) * C4 + c] = max(squares - sum * sum / count, vec4<f32>());
}
