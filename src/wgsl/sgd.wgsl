// Stochastic gradient descent with momentum and weight decay, over all parameters at once (PyTorch's form):
//   g' = factor g + decay w;  v' = momentum v + g';  w' = w - learning_rate v'
// or, with Nesterov's momentum, w' = w - learning_rate (g' + momentum v').
// The factor undoes the loss scale and is 1 without one; 0 says that the gradients are not to be used: nothing changes.
// parameters, gradients, velocities: packed alike; decay_scales: 1 or 0 for each 64 scalars (256 bytes).
// One invocation takes 64 scalars.
override MOMENTUM: f32;
// 1: Nesterov's momentum.
override NESTEROV: u32;
override WEIGHT_DECAY: f32;
override BLOCKS: u32;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32 }

@group(0) @binding(0) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> velocities: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> decay_scales: array<f32>;
@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = id.x;
  if (block >= BLOCKS || step.gradient_factor == 0.0) { return; }
  let decay = WEIGHT_DECAY * decay_scales[block];
  for (var i = 0u; i < 16u; i++) {
    let at = block * 16u + i;
    let weight = parameters[at];
    let gradient = step.gradient_factor * gradients[at] + decay * weight;
    let velocity = MOMENTUM * velocities[at] + gradient;
    velocities[at] = velocity;
    parameters[at] = weight - step.learning_rate * select(velocity, gradient + MOMENTUM * velocity, NESTEROV == 1u);
  }
}
