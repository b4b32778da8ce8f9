// y[n, oy, ox, c] = max over ky, kx of x[n, oy STRIDE + ky - PADDING, ox STRIDE + kx - PADDING, c], pixels outside left out.
// One invocation computes one channel quad of one pixel of y.
override C4: u32;
override HEIGHT: u32;
override WIDTH: u32;
override HALO: u32;
override X_HEIGHT: u32;
override X_WIDTH: u32;
override X_HALO: u32;
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= HEIGHT * WIDTH * C4) { return; }
  let c = id.x % C4;
  let ox = id.x / C4 % WIDTH;
  let oy = id.x / C4 / WIDTH;
  let first_h = max(oy * STRIDE, PADDING) - PADDING;
  let first_w = max(ox * STRIDE, PADDING) - PADDING;
  let end_h = min(oy * STRIDE + KERNEL - PADDING, X_HEIGHT);
  let end_w = min(ox * STRIDE + KERNEL - PADDING, X_WIDTH);
  var largest = vec4<f32>(-3.4028234e38);
  for (var h = first_h; h < end_h; h++) {
    let row = (id.y * (X_HEIGHT + 2u * X_HALO) + h + X_HALO) * (X_WIDTH + 2u * X_HALO) + X_HALO;
    for (var w = first_w; w < end_w; w++) { largest = max(largest, vec4<f32>(x[(row + w) * C4 + c])); }
  }
  let row = id.y * (HEIGHT + 2u * HALO) + oy + HALO;
  y[(row * (WIDTH + 2u * HALO) + ox + HALO) * C4 + c] = Quad(largest);
}
