// y[n, h, w, c] = x[n, h DOWN / UP, w DOWN / UP, c - 4 SHIFT], and 0 where UP does not divide h and w, where x has no such
// pixel or no such channel. One invocation computes one channel quad of one pixel.
override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override HALO: u32;
override X_HEIGHT: u32;
override X_WIDTH: u32;
override X_CHANNELS: u32;
override X_HALO: u32;
override DOWN: u32;
override UP: u32;
override SHIFT: i32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read_write> y: array<Quad>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c4 = (CHANNELS + 3u) / 4u;
  let x_c4 = (X_CHANNELS + 3u) / 4u;
  if (id.x >= HEIGHT * WIDTH * c4) { return; }
  let c = id.x % c4;
  let w = id.x / c4 % WIDTH;
  let h = id.x / c4 / WIDTH;
  let from_c = i32(c) - SHIFT;
  let from_h = h / UP * DOWN;
  let from_w = w / UP * DOWN;
  var value = vec4<f32>();
  if (h % UP == 0u && w % UP == 0u && from_h < X_HEIGHT && from_w < X_WIDTH && from_c >= 0 && from_c < i32(x_c4)) {
    let row = id.y * (X_HEIGHT + 2u * X_HALO) + from_h + X_HALO;
    value = vec4<f32>(x[(row * (X_WIDTH + 2u * X_HALO) + from_w + X_HALO) * x_c4 + u32(from_c)]);
    // Padding channels stay 0 where x goes on.
    value = select(vec4<f32>(), value, 4u * c + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(CHANNELS));
  }
  let row = id.y * (HEIGHT + 2u * HALO) + h + HALO;
  y[(row * (WIDTH + 2u * HALO) + w + HALO) * c4 + c] = Quad(value);
}
