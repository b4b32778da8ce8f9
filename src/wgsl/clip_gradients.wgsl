// Bounds the norm of all gradients, as PyTorch's clip_grad_norm_ does:
//   norm = sqrt(sum of partials);  clipped.gradient_factor = step.gradient_factor min(1, MAX_NORM / (norm + 1e-6))
// A factor of 0, which skips the update, stays 0. Where the norm is not finite the factor stays what it was, so that the
// update shows it. partials: QUADS vec4<f32>, summed in order by one invocation.
override QUADS: u32;
override MAX_NORM: f32;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32 }

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> clipped: Step;

@compute @workgroup_size(1)
fn main() {
  var sum = vec4<f32>();
  for (var i = 0u; i < QUADS; i++) { sum += partials[i]; }
  let square = sum.x + sum.y + sum.z + sum.w;
  clipped = step;
  // By its bits: a WGSL implementation may assume that there is nothing else than finite numbers.
  let is_finite = (bitcast<u32>(square) & 0x7fffffffu) < 0x7f800000u;
  if (is_finite && step.gradient_factor != 0.0) {
    clipped.gradient_factor = step.gradient_factor * min(1.0, MAX_NORM / (sqrt(square) + 1e-6));
  }
}
