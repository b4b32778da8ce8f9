// partials[FIRST + i] = sum of (factor g)^2 over invocation i's gradients, in a fixed order.
// The factor comes first: gradients under a loss scale may be so large that their squares are not finite.
// gradients: QUADS vec4<f32>; invocation i takes the quads i, i + INVOCATIONS, ...; INVOCATIONS is a multiple of 64.
override QUADS: u32;
override INVOCATIONS: u32;
override FIRST: u32;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32 }

@group(0) @binding(0) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var sum = vec4<f32>();
  for (var at = id.x; at < QUADS; at += INVOCATIONS) {
    let gradient = step.gradient_factor * gradients[at];
    sum += gradient * gradient;
  }
  partials[FIRST + id.x] = sum.x + sum.y + sum.z + sum.w;
}
