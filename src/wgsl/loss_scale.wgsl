// Decides on an update and moves the loss scale, as PyTorch's GradScaler does:
//   no flag set:  checked.gradient_factor = 1 / scale;  after GROWTH_INTERVAL such steps in a row, scale' = 2 scale
//   a flag set:   checked.gradient_factor = 0, which skips the update;  scale' = scale / 2
// scale, good_steps and skipped_steps hold one f32 each; counts are exact up to 2^24. The scale stays within bounds that
// no training comes near, so that it and its inverse stay numbers. One invocation does it all.
override FLAGS: u32;
override GROWTH_INTERVAL: f32;

const LOWEST = 1.0;
const HIGHEST = 0x1p64;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32 }

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> scale: f32;
@group(0) @binding(3) var<storage, read_write> good_steps: f32;
@group(0) @binding(4) var<storage, read_write> skipped_steps: f32;
@group(0) @binding(5) var<storage, read_write> checked: Step;

@compute @workgroup_size(1)
fn main() {
  var found = 0u;
  for (var i = 0u; i < FLAGS; i++) { found |= flags[i]; }
  checked = step;
  if (found != 0u) {
    checked.gradient_factor = 0.0;
    scale = max(scale / 2.0, LOWEST);
    good_steps = 0.0;
    skipped_steps += 1.0;
    return;
  }
  checked.gradient_factor = step.gradient_factor / scale;
  good_steps += 1.0;
  if (good_steps >= GROWTH_INTERVAL) {
    scale = min(scale * 2.0, HIGHEST);
    good_steps = 0.0;
  }
}
