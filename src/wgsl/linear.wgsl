// y = x W^T + bias. x: [N, IN], W: [OUT, IN], y: [N, OUT]; x and y in channel quads, padding channels of y become 0.
// One invocation computes one output quad of one row.
override IN: u32;
override OUT: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let in_quads = (IN + 3u) / 4u;
  let out_quads = (OUT + 3u) / 4u;
  let quad = id.x;
  let row = id.y;
  if (quad >= out_quads) { return; }
  var result = vec4<f32>();
  for (var lane = 0u; lane < 4u; lane++) {
    let o = quad * 4u + lane;
    if (o < OUT) {
      var sum = 0.0;
      for (var q = 0u; q < in_quads; q++) {
        let value = x[row * in_quads + q];
        let i = o * IN + q * 4u;
        // Past IN, x holds zeros and the weight index stays in the parameter's own range.
        sum += value.x * weight[i];
        if (q * 4u + 1u < IN) { sum += value.y * weight[i + 1u]; }
        if (q * 4u + 2u < IN) { sum += value.z * weight[i + 2u]; }
        if (q * 4u + 3u < IN) { sum += value.w * weight[i + 3u]; }
      }
      result[lane] = sum + bias[o];
    }
  }
  y[row * out_quads + quad] = result;
}
