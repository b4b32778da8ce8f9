// The normalisation by running statistics as scale and shift.
//   folded[0] = scale = gamma / sqrt(running_variance + EPSILON);  folded[1] = shift = beta - running_mean * scale
// One invocation takes one channel quad.
override C4: u32;
override EPSILON: f32;

@group(0) @binding(0) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> running_mean: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> running_variance: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> folded: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c >= C4) { return; }
  let scale = gamma[c] * inverseSqrt(running_variance[c] + EPSILON);
  folded[c] = scale;
  folded[C4 + c] = beta[c] - running_mean[c] * scale;
}
