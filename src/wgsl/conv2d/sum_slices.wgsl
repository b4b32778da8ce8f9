// out[i] = sum over slices of partials[slice][i], in order. One invocation sums one vec4.
override COUNT: u32;
override SLICES: u32;

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= COUNT) { return; }
  var sum = vec4<f32>();
  for (var slice = 0u; slice < SLICES; slice++) {
    sum += partials[slice * COUNT + id.x];
  }
  out[id.x] = sum;
}
