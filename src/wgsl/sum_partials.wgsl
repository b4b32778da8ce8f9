// total[0] = sum of partials[0 .. COUNT), in order, by one invocation.
override COUNT: u32;

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(1)
fn main() {
  var sum = 0.0;
  for (var i = 0u; i < COUNT; i++) { sum += partials[i]; }
  total[0] = sum;
}
