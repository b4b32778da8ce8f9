// Gradients of gamma and beta, and the factors of dx = scale dy + slope x + offset.
//   dbeta = sum dy;  dgamma = sum dy xhat
//   slope = -scale / sqrt(variance + EPSILON) * dgamma / n;  offset = -scale * dbeta / n - slope * mean
//   factors: scale, slope, offset, and shift (for the mask of a fused ReLU)
// One invocation takes one channel quad.
override C4: u32;
override COUNT: f32;
override SLICES: u32;

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> statistics: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> d_gamma: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> d_beta: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> factors: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c >= C4) { return; }
  var sum = vec4<f32>();
  var products = vec4<f32>();
  for (var slice = 0u; slice < SLICES; slice++) {
    sum += partials[slice * 2u * C4 + c];
    products += partials[(slice * 2u + 1u) * C4 + c];
  }
  let scale = statistics[2u * C4 + c];
  let slope = -scale * statistics[C4 + c] * products / COUNT;
  d_gamma[c] = products;
  d_beta[c] = sum;
  factors[c] = scale;
  factors[C4 + c] = slope;
  factors[2u * C4 + c] = -scale * sum / COUNT - slope * statistics[c];
  factors[3u * C4 + c] = statistics[3u * C4 + c];
}
