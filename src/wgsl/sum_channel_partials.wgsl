// totals[c] = sum over the slices of partials[slice, c], in order; rows of partials are padded to whole quads.
// One invocation takes one channel.
override CHANNELS: u32;
override SLICES: u32;

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> totals: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c = id.x;
  if (c >= CHANNELS) { return; }
  let row = (CHANNELS + 3u) / 4u * 4u;
  var sum = 0.0;
  for (var slice = 0u; slice < SLICES; slice++) { sum += partials[slice * row + c]; }
  totals[c] = sum;
}
