// Sums the slices' partial weight gradients in order and writes OIHW.
// partials: [slice][group][output channel][tap row][tap column][input quad] of vec4 over input channels, the channels
// of a group padded to quads.
// One invocation takes one vec4 of the sum.
override OUT: u32;
override IN: u32;
override GROUPS: u32;
override TAPS: u32;
override SLICES: u32;

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> d_weight: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let outputs = OUT / GROUPS;
  let inputs = IN / GROUPS;
  let input_quads = (inputs + 3u) / 4u;
  let padded_outputs = (outputs + 3u) / 4u * 4u;
  let size = GROUPS * padded_outputs * TAPS * input_quads;
  if (id.x >= size) { return; }
  let quad = id.x % input_quads;
  let tap = id.x / input_quads % TAPS;
  let within = id.x / (input_quads * TAPS) % padded_outputs;
  let group = id.x / (input_quads * TAPS * padded_outputs);
  if (within >= outputs) { return; }
  var sum = vec4<f32>();
  for (var slice = 0u; slice < SLICES; slice++) { sum += partials[slice * size + id.x]; }
  for (var lane = 0u; lane < 4u; lane++) {
    let i = quad * 4u + lane;
    if (i < inputs) { d_weight[((group * outputs + within) * inputs + i) * TAPS + tap] = sum[lane]; }
  }
}
