// Gradient of a convolution's weight with any grouping, one weight an invocation.
//   dw[o, i, ky, kx] = sum over n, oy, ox of dy[n, oy, ox, o] x[n, oy STRIDE + ky - PADDING, ox STRIDE + kx - PADDING, i]
override BATCH: u32;
override IN: u32;
override OUT: u32;
override GROUPS: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override STRIDE: u32;
override PADDING: u32;
override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_HALO: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_HALO: u32;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> dy: array<Quad>;
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let in_quads = (IN + 3u) / 4u;
  let out_quads = (OUT + 3u) / 4u;
  let reads = IN / GROUPS;
  let kx = id.x % KERNEL_WIDTH;
  let ky = (id.x / KERNEL_WIDTH) % KERNEL_HEIGHT;
  let i = (id.x / (KERNEL_WIDTH * KERNEL_HEIGHT)) % reads;
  let o = id.x / (KERNEL_WIDTH * KERNEL_HEIGHT * reads);
  if (o >= OUT) { return; }
  let c = (o / (OUT / GROUPS)) * reads + i;
  var sum = 0.0;
  for (var image = 0u; image < BATCH; image++) {
    for (var oy = 0u; oy < OUT_HEIGHT; oy++) {
      let out_row = image * (OUT_HEIGHT + 2u * OUT_HALO) + oy + OUT_HALO;
      let in_row = image * (IN_HEIGHT + 2u * IN_HALO) + oy * STRIDE + ky + IN_HALO - PADDING;
      for (var ox = 0u; ox < OUT_WIDTH; ox++) {
        let at = (out_row * (OUT_WIDTH + 2u * OUT_HALO) + ox + OUT_HALO) * out_quads + o / 4u;
        let g = f32(dy[at][o % 4u]);
        let pixel = in_row * (IN_WIDTH + 2u * IN_HALO) + ox * STRIDE + kx + IN_HALO - PADDING;
        sum += g * f32(x[pixel * in_quads + c / 4u][c % 4u]);
      }
    }
  }
  d_weight[id.x] = sum;
}
