// Gradient of a convolution's input with any grouping, one channel at a time.
//   dx[n, y, x, i] = sum over o, ky, kx with (y + PADDING - ky) and (x + PADDING - kx) multiples of STRIDE of
//     dy[n, (y + PADDING - ky) / STRIDE, (x + PADDING - kx) / STRIDE, o] w[o, i, ky, kx]
// One invocation computes one channel quad of one input pixel; its border pixels are not written.
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

@group(0) @binding(0) var<storage, read> dy: array<Quad>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<Quad>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let in_quads = (IN + 3u) / 4u;
  let out_quads = (OUT + 3u) / 4u;
  let image = id.y;
  if (id.x >= IN_HEIGHT * IN_WIDTH * in_quads) { return; }
  let quad = id.x % in_quads;
  let px = (id.x / in_quads) % IN_WIDTH;
  let py = id.x / (in_quads * IN_WIDTH);
  let reads = IN / GROUPS;
  let writes = OUT / GROUPS;
  var result = vec4<f32>();
  for (var lane = 0u; lane < 4u; lane++) {
    let c = quad * 4u + lane;
    if (c >= IN) { continue; }
    let group = c / reads;
    var sum = 0.0;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
      let above = py + PADDING;
      if (above < ky || (above - ky) % STRIDE != 0u || (above - ky) / STRIDE >= OUT_HEIGHT) { continue; }
      let row = image * (OUT_HEIGHT + 2u * OUT_HALO) + (above - ky) / STRIDE + OUT_HALO;
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        let left = px + PADDING;
        if (left < kx || (left - kx) % STRIDE != 0u || (left - kx) / STRIDE >= OUT_WIDTH) { continue; }
        let pixel = row * (OUT_WIDTH + 2u * OUT_HALO) + (left - kx) / STRIDE + OUT_HALO;
        for (var k = 0u; k < writes; k++) {
          let o = group * writes + k;
          let g = f32(dy[pixel * out_quads + o / 4u][o % 4u]);
          sum += g * weight[((o * reads + c % reads) * KERNEL_HEIGHT + ky) * KERNEL_WIDTH + kx];
        }
      }
    }
    result[lane] = sum;
  }
  let in_row = image * (IN_HEIGHT + 2u * IN_HALO) + py + IN_HALO;
  dx[(in_row * (IN_WIDTH + 2u * IN_HALO) + px + IN_HALO) * in_quads + quad] = Quad(result);
}
