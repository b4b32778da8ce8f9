// dW = dy^T x and dbias = sum over rows of dy. x: [N, IN], dy: [N, OUT], dW: [OUT, IN].
// One invocation computes one element of dW; those of column 0 compute dbias too.
override BATCH: u32;
override IN: u32;
override OUT: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let in_quads = (IN + 3u) / 4u;
  let out_quads = (OUT + 3u) / 4u;
  let i = id.x;
  let o = id.y;
  if (i >= IN) { return; }
  var sum = 0.0;
  var bias = 0.0;
  for (var row = 0u; row < BATCH; row++) {
    let g = dy[row * out_quads + o / 4u][o % 4u];
    sum += g * x[row * in_quads + i / 4u][i % 4u];
    bias += g;
  }
  d_weight[o * IN + i] = sum;
  if (i == 0u) { d_bias[o] = bias; }
}
