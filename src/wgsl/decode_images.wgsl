// Decodes u8 images, crops, mirrors and normalises them:
//   y[n, py, px, c] = (v / 255 - mean[c]) / deviation[c],  v = pixel at (py + dy - PADDING, px' + dx - PADDING), 0 outside,
//   px' = WIDTH - 1 - px where the image is mirrored
// Draws: (dy, dx, mirror, -) = pcg4d(seed, epoch, example, PURPOSE), each modulo its range.
// pixels: [N, HEIGHT, WIDTH, CHANNELS] bytes, four a u32; y: one quad a pixel with a border; CHANNELS is 1 or 3.
// One invocation writes one pixel.
override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override HALO: u32;
override PADDING: u32;
override MIRROR: bool;
override PURPOSE: u32;
override MEAN_0: f32;
override MEAN_1: f32;
override MEAN_2: f32;
override DEVIATION_0: f32;
override DEVIATION_1: f32;
override DEVIATION_2: f32;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32 }

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> examples: array<u32>;
@group(0) @binding(2) var<uniform> step: Step;
@group(0) @binding(3) var<storage, read_write> y: array<Quad>;

// Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020.
fn pcg4d(seed: vec4<u32>) -> vec4<u32> {
  var v = seed * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4<u32>(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}

fn sample(byte: u32) -> f32 {
  return f32((pixels[byte / 4u] >> (8u * (byte % 4u))) & 0xffu) / 255.0;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let image = id.y;
  if (id.x >= WIDTH * HEIGHT) { return; }
  let px = i32(id.x % WIDTH);
  let py = i32(id.x / WIDTH);
  var value = vec4<f32>();
  var sx = px;
  var sy = py;
  if (PADDING > 0u || MIRROR) {
    let draw = pcg4d(vec4<u32>(step.seed, step.epoch, examples[image], PURPOSE));
    if (MIRROR && (draw.z & 1u) == 1u) { sx = i32(WIDTH) - 1 - px; }
    sx += i32(draw.y % (2u * PADDING + 1u)) - i32(PADDING);
    sy += i32(draw.x % (2u * PADDING + 1u)) - i32(PADDING);
  }
  if (sx >= 0 && sy >= 0 && sx < i32(WIDTH) && sy < i32(HEIGHT)) {
    let byte = ((image * HEIGHT + u32(sy)) * WIDTH + u32(sx)) * CHANNELS;
    value.x = sample(byte);
    if (CHANNELS == 3u) {
      value.y = sample(byte + 1u);
      value.z = sample(byte + 2u);
    }
  }
  value.x = (value.x - MEAN_0) / DEVIATION_0;
  if (CHANNELS == 3u) {
    value.y = (value.y - MEAN_1) / DEVIATION_1;
    value.z = (value.z - MEAN_2) / DEVIATION_2;
  }
  let row = image * (HEIGHT + 2u * HALO) + u32(py) + HALO;
  y[row * (WIDTH + 2u * HALO) + u32(px) + HALO] = Quad(value);
}
