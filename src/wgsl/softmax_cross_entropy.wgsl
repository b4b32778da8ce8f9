// Softmax cross-entropy with label smoothing, its gradient, and what the metrics need.
//   target = (1 - SMOOTHING) ((1 - share) onehot(label) + share onehot(partner)) + SMOOTHING / CLASSES
//   share = step.mixup_share and partner the label of the row before, modulo BATCH, where MIXUP; else share = 0
//   loss = -sum target log softmax(z);  dz = (softmax(z) - target) / counted rows
//   results[n] = (loss, rank of the true class from 0, predicted class, 0)
// The rank counts the classes with a higher logit, ties going to the lower class index; true is the label or the partner,
// whichever has the larger share.
// A label of 0xffffffff marks a row that does not count: loss 0, gradient 0, rank -1.
// logits, d_logits: [N, CLASSES] in quads; one invocation takes one row.
override BATCH: u32;
override CLASSES: u32;
override SMOOTHING: f32;
override MIXUP: bool;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32, mixup_share: f32 }

@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> d_logits: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> results: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> step: Step;

fn logit(row: u32, class_index: u32) -> f32 {
  return logits[row * ((CLASSES + 3u) / 4u) + class_index / 4u][class_index % 4u];
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= BATCH) { return; }
  let quads = (CLASSES + 3u) / 4u;
  var counted = 0u;
  for (var i = 0u; i < BATCH; i++) { counted += select(0u, 1u, labels[i] < CLASSES); }
  let label = labels[row];
  let counts = label < CLASSES;
  var partner = label;
  var share = 0.0;
  if (MIXUP) {
    partner = labels[(row + BATCH - 1u) % BATCH];
    share = step.mixup_share;
  }
  let own = (1.0 - share) * logit(row, min(label, CLASSES - 1u)) + share * logit(row, min(partner, CLASSES - 1u));
  let true_class = select(label, partner, share > 0.5);
  let true_logit = logit(row, min(true_class, CLASSES - 1u));
  var highest = logit(row, 0u);
  var predicted = 0u;
  var rank = 0u;
  var sum_logits = 0.0;
  for (var i = 0u; i < CLASSES; i++) {
    let z = logit(row, i);
    if (z > highest) { highest = z; predicted = i; }
    if (z > true_logit || (z == true_logit && i < true_class)) { rank++; }
    sum_logits += z;
  }
  var sum = 0.0;
  for (var i = 0u; i < CLASSES; i++) { sum += exp(logit(row, i) - highest); }
  let log_sum = highest + log(sum);
  let spread = SMOOTHING / f32(CLASSES);
  for (var q = 0u; q < quads; q++) {
    var gradient = vec4<f32>();
    for (var lane = 0u; lane < 4u; lane++) {
      let i = q * 4u + lane;
      if (i < CLASSES && counts) {
        let mixed = select(0.0, 1.0 - share, i == label) + select(0.0, share, i == partner);
        let aim = spread + (1.0 - SMOOTHING) * mixed;
        gradient[lane] = (exp(logit(row, i) - log_sum) - aim) / f32(counted);
      }
    }
    d_logits[row * quads + q] = gradient;
  }
  let loss = log_sum - (1.0 - SMOOTHING) * own - spread * sum_logits;
  results[row] = select(vec4<f32>(0.0, -1.0, f32(predicted), 0.0), vec4<f32>(loss, f32(rank), f32(predicted), 0.0), counts);
}
