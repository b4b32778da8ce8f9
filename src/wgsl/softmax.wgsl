// probabilities = softmax(logits) by row; padding classes become 0.
// logits, probabilities: [N, CLASSES] in quads; one invocation takes one row.
override BATCH: u32;
override CLASSES: u32;

@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> probabilities: array<vec4<f32>>;

fn logit(row: u32, class_index: u32) -> f32 {
  return logits[row * ((CLASSES + 3u) / 4u) + class_index / 4u][class_index % 4u];
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= BATCH) { return; }
  let quads = (CLASSES + 3u) / 4u;
  var highest = logit(row, 0u);
  for (var i = 1u; i < CLASSES; i++) { highest = max(highest, logit(row, i)); }
  var sum = 0.0;
  for (var i = 0u; i < CLASSES; i++) { sum += exp(logit(row, i) - highest); }
  for (var q = 0u; q < quads; q++) {
    var result = vec4<f32>();
    for (var lane = 0u; lane < 4u; lane++) {
      let i = q * 4u + lane;
      if (i < CLASSES) { result[lane] = exp(logit(row, i) - highest) / sum; }
    }
    probabilities[row * quads + q] = result;
  }
}
