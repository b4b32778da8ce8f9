// Assembles a batch from a part of a data set that stays in GPU memory:
//   pixels[n] = part[order[start + n] - FIRST], labels[n] = set_labels[order[start + n]], examples[n] = order[start + n]
// for the rows n < count whose example the part has, FIRST to before END; of rows from `count` on, labels[n] is 0xffffffff.
// part: images of IMAGE_BYTES bytes one after another, four bytes a u32; pixels: [BATCH] of them, alike.
// One invocation writes one word of pixels, and the first BATCH invocations one label and example each. A word may have
// bytes of several images, which may lie in several parts: it keeps those that are not this part's.
override BATCH: u32;
override IMAGE_BYTES: u32;
override FIRST: u32;
override END: u32;
// Invocations in a row of the grid.
override ROW: u32;

struct Range { start: u32, count: u32 }

@group(0) @binding(0) var<storage, read> part: array<u32>;
@group(0) @binding(1) var<storage, read> set_labels: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<uniform> range: Range;
@group(0) @binding(4) var<storage, read_write> pixels: array<u32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
@group(0) @binding(6) var<storage, read_write> examples: array<u32>;

// The example of a row, counted from the part's first: past the part's end where it is in another or the row has none.
fn place(row: u32) -> u32 {
  return select(END, order[range.start + row], row < range.count) - FIRST;
}

fn gather_row(row: u32) {
  if (row >= range.count) {
    labels[row] = 0xffffffffu;
    return;
  }
  let image = place(row);
  if (image >= END - FIRST) { return; }
  labels[row] = set_labels[FIRST + image];
  examples[row] = FIRST + image;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let word = id.y * ROW + id.x;
  if (word < BATCH) { gather_row(word); }
  if (word >= (BATCH * IMAGE_BYTES + 3u) / 4u) { return; }
  if (IMAGE_BYTES % 4u == 0u) {
    let words = IMAGE_BYTES / 4u;
    let image = place(word / words);
    if (image < END - FIRST) { pixels[word] = part[image * words + word % words]; }
    return;
  }
  var value = pixels[word];
  for (var i = 0u; i < 4u; i++) {
    let byte = 4u * word + i;
    let image = place(byte / IMAGE_BYTES);
    if (image < END - FIRST) {
      let source = image * IMAGE_BYTES + byte % IMAGE_BYTES;
      value = insertBits(value, part[source / 4u] >> (8u * (source % 4u)), 8u * i, 8u);
    }
  }
  pixels[word] = value;
}
