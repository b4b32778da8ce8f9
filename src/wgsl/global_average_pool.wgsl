// y[n, c] = mean over the pixels of x[n, :, :, c]. One invocation takes one channel quad of one image.
override C4: u32;
override HEIGHT: u32;
override WIDTH: u32;
override HALO: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  let image = id.y;
  if (c >= C4) { return; }
  var sum = vec4<f32>();
  for (var row = 0u; row < HEIGHT; row++) {
    let padded_row = image * (HEIGHT + 2u * HALO) + row + HALO;
    let start = (padded_row * (WIDTH + 2u * HALO) + HALO) * C4 + c;
    for (var px = 0u; px < WIDTH; px++) { sum += vec4<f32>(x[start + px * C4]); }
  }
  y[image * C4 + c] = sum / f32(HEIGHT * WIDTH);
}
