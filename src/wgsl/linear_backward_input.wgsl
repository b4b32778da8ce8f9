// dx = dy W. dy: [N, OUT], W: [OUT, IN], dx: [N, IN]; padding channels of dx become 0.
// One invocation computes one input quad of one row.
override IN: u32;
override OUT: u32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let in_quads = (IN + 3u) / 4u;
  let out_quads = (OUT + 3u) / 4u;
  let quad = id.x;
  let row = id.y;
  if (quad >= in_quads) { return; }
  var result = vec4<f32>();
  for (var lane = 0u; lane < 4u; lane++) {
    let i = quad * 4u + lane;
    if (i < IN) {
      var sum = 0.0;
      for (var o = 0u; o < OUT; o++) { sum += dy[row * out_quads + o / 4u][o % 4u] * weight[o * IN + i]; }
      result[lane] = sum;
    }
  }
  dx[row * in_quads + quad] = result;
}
