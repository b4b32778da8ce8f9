// Convolution with any grouping, one channel at a time: for groups whose channels do not fill quads.
//   y[n, oy, ox, o] = sum x[n, oy STRIDE + ky - PADDING, ox STRIDE + kx - PADDING, i] w[o, i, ky, kx]
// One invocation computes one channel quad of one output pixel; its border pixels are not written.
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
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let in_quads = (IN + 3u) / 4u;
  let out_quads = (OUT + 3u) / 4u;
  let image = id.y;
  if (id.x >= OUT_HEIGHT * OUT_WIDTH * out_quads) { return; }
  let quad = id.x % out_quads;
  let ox = (id.x / out_quads) % OUT_WIDTH;
  let oy = id.x / (out_quads * OUT_WIDTH);
  let reads = IN / GROUPS;
  var result = vec4<f32>();
  for (var lane = 0u; lane < 4u; lane++) {
    let o = quad * 4u + lane;
    if (o >= OUT) { continue; }
    let first = (o / (OUT / GROUPS)) * reads;
    var sum = 0.0;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
      let row = image * (IN_HEIGHT + 2u * IN_HALO) + oy * STRIDE + ky + IN_HALO - PADDING;
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        let pixel = row * (IN_WIDTH + 2u * IN_HALO) + ox * STRIDE + kx + IN_HALO - PADDING;
        for (var i = 0u; i < reads; i++) {
          let c = first + i;
          let value = f32(x[pixel * in_quads + c / 4u][c % 4u]);
          sum += value * weight[((o * reads + i) * KERNEL_HEIGHT + ky) * KERNEL_WIDTH + kx];
        }
      }
    }
    result[lane] = sum;
  }
  let out_row = image * (OUT_HEIGHT + 2u * OUT_HALO) + oy + OUT_HALO;
  y[(out_row * (OUT_WIDTH + 2u * OUT_HALO) + ox + OUT_HALO) * out_quads + quad] = Quad(result);
}
