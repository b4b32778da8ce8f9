// dx[n, h, w, c] = sum of dy over the windows whose maximum, the first in the order of ky, kx, lies at (h, w).
// One invocation computes one channel quad of one pixel of dx; it looks through each window that has the pixel.
override C4: u32;
override HEIGHT: u32;
override WIDTH: u32;
override X_HALO: u32;
override DX_HALO: u32;
override DY_HEIGHT: u32;
override DY_WIDTH: u32;
override DY_HALO: u32;
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> dy: array<Quad>;
@group(0) @binding(2) var<storage, read_write> dx: array<Quad>;

fn x_at(image: u32, h: u32, w: u32, c: u32) -> vec4<f32> {
  let row = image * (HEIGHT + 2u * X_HALO) + h + X_HALO;
  return vec4<f32>(x[(row * (WIDTH + 2u * X_HALO) + w + X_HALO) * C4 + c]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= HEIGHT * WIDTH * C4) { return; }
  let c = id.x % C4;
  let w = id.x / C4 % WIDTH;
  let h = id.x / C4 / WIDTH;
  let own = x_at(id.y, h, w, c);
  // Window oy has row h where oy STRIDE <= h + PADDING < oy STRIDE + KERNEL.
  let first_oy = (max(h + PADDING + 1u, KERNEL) - KERNEL + STRIDE - 1u) / STRIDE;
  let first_ox = (max(w + PADDING + 1u, KERNEL) - KERNEL + STRIDE - 1u) / STRIDE;
  let end_oy = min((h + PADDING) / STRIDE + 1u, DY_HEIGHT);
  let end_ox = min((w + PADDING) / STRIDE + 1u, DY_WIDTH);
  var sum = vec4<f32>();
  for (var oy = first_oy; oy < end_oy; oy++) {
    for (var ox = first_ox; ox < end_ox; ox++) {
      var is_first = vec4<bool>(true);
      for (var y = max(oy * STRIDE, PADDING) - PADDING; y < min(oy * STRIDE + KERNEL - PADDING, HEIGHT); y++) {
        for (var z = max(ox * STRIDE, PADDING) - PADDING; z < min(ox * STRIDE + KERNEL - PADDING, WIDTH); z++) {
          let other = x_at(id.y, y, z, c);
          let before = y < h || (y == h && z < w);
          is_first = is_first & select(other <= own, other < own, vec4<bool>(before));
        }
      }
      let row = id.y * (DY_HEIGHT + 2u * DY_HALO) + oy + DY_HALO;
      let gradient = vec4<f32>(dy[(row * (DY_WIDTH + 2u * DY_HALO) + ox + DY_HALO) * C4 + c]);
      sum += select(vec4<f32>(), gradient, is_first);
    }
  }
  let row = id.y * (HEIGHT + 2u * DX_HALO) + h + DX_HALO;
  dx[(row * (WIDTH + 2u * DX_HALO) + w + DX_HALO) * C4 + c] = Quad(sum);
}
