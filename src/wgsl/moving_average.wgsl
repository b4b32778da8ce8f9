// averages' = averages + WEIGHT (parameters - averages): the exponential moving average with the decay 1 - WEIGHT.
// Both are packed alike: QUADS vec4<f32>; one invocation takes 16 of them.
override QUADS: u32;
override WEIGHT: f32;

@group(0) @binding(0) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> averages: array<vec4<f32>>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let end = min(16u * id.x + 16u, QUADS);
  for (var at = 16u * id.x; at < end; at++) {
    let average = averages[at];
    averages[at] = average + WEIGHT * (parameters[at] - average);
  }
}
