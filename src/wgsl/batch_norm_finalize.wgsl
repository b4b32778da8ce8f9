// Merges the slices' statistics (Chan et al. 1979) and prepares the normalisation.
//   statistics[0] = mean, [1] = 1 / sqrt(variance + EPSILON), [2] = scale = gamma * [1], [3] = shift = beta - mean * scale
//   running' = (1 - MOMENTUM) running + MOMENTUM batch, with the unbiased variance, as PyTorch does;
//   where the batch's own are not finite, which f16 makes possible, the running ones stay as they are
// One invocation takes one channel quad.
override C4: u32;
override WIDTH: u32;
override ROWS: u32;
override ROWS_PER_SLICE: u32;
override SLICES: u32;
override EPSILON: f32;
override MOMENTUM: f32;

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> running_variance: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> statistics: array<vec4<f32>>;

// By the bits: a WGSL implementation may assume that all values are finite.
fn is_finite(value: vec4<f32>) -> vec4<bool> {
  return (bitcast<vec4<u32>>(value) & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c >= C4) { return; }
  var count = 0.0;
  var mean = vec4<f32>();
  var squares = vec4<f32>();
  for (var slice = 0u; slice < SLICES; slice++) {
    let rows = min(ROWS_PER_SLICE, ROWS - slice * ROWS_PER_SLICE);
    let slice_count = f32(rows * WIDTH);
    let delta = partials[slice * 2u * C4 + c] - mean;
    let total = count + slice_count;
    mean += delta * (slice_count / total);
    squares += partials[(slice * 2u + 1u) * C4 + c] + delta * delta * (count * slice_count / total);
    count = total;
  }
  let variance = squares / count;
  let inverse = inverseSqrt(variance + EPSILON);
  let scale = gamma[c] * inverse;
  statistics[c] = mean;
  statistics[C4 + c] = inverse;
  statistics[2u * C4 + c] = scale;
  statistics[3u * C4 + c] = beta[c] - mean * scale;
  let unbiased = squares / max(count - 1.0, 1.0);
  let finite = is_finite(mean) & is_finite(unbiased);
  running_mean[c] = select(running_mean[c], mix(running_mean[c], mean, MOMENTUM), finite);
  running_variance[c] = select(running_variance[c], mix(running_variance[c], unbiased, MOMENTUM), finite);
}
