// Decodes u8 images, crops, mirrors, erases and normalises them, and blends each with the one before it in the batch:
//   x(n)[py, px, c] = (v / 255 - mean[c]) / deviation[c],  v = pixel at (py + dy - PADDING, px' + dx - PADDING), 0 outside,
//   px' = WIDTH - 1 - px where the image is mirrored
//   x(n)[py, px, c] = 0 in the square of cutout and in the erased rectangle, whose v may be random bytes instead
//   y[n] = x(n), or where MIXUP (1 - share) x(n) + share x(n - 1 modulo BATCH), share = step.mixup_share
// Draws: pcg4d(seed, epoch, example, purpose), each word modulo its range; (dy, dx, mirror, -) for the crop.
// pixels: [BATCH, HEIGHT, WIDTH, CHANNELS] bytes, four a u32; y: one quad a pixel with a border; CHANNELS is 1 or 3.
// One invocation writes one pixel.
override BATCH: u32;
override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override HALO: u32;
override PADDING: u32;
override MIRROR: bool;
// The side of cutout's square; 0: none.
override CUTOUT: u32;
// The probability of random erasing, of 2^31; 0: none.
override ERASING: u32;
override ERASING_NOISE: bool;
override MIXUP: bool;
override PURPOSE: u32;
override CUTOUT_PURPOSE: u32;
override ERASING_PURPOSE: u32;
override NOISE_PURPOSE: u32;
override MEAN_0: f32;
override MEAN_1: f32;
override MEAN_2: f32;
override DEVIATION_0: f32;
override DEVIATION_1: f32;
override DEVIATION_2: f32;

struct Step { learning_rate: f32, seed: u32, epoch: u32, gradient_factor: f32, mixup_share: f32 }

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

fn draws(example: u32, purpose: u32) -> vec4<u32> {
  return pcg4d(vec4<u32>(step.seed, step.epoch, example, purpose));
}

fn load(byte: u32) -> u32 {
  return (pixels[byte / 4u] >> (8u * (byte % 4u))) & 0xffu;
}

// The bytes of an image at a place of the cropped and mirrored one.
fn source(image: u32, example: u32, py: i32, px: i32) -> vec3<u32> {
  var sx = px;
  var sy = py;
  if (PADDING > 0u || MIRROR) {
    let draw = draws(example, PURPOSE);
    if (MIRROR && (draw.z & 1u) == 1u) { sx = i32(WIDTH) - 1 - px; }
    sx += i32(draw.y % (2u * PADDING + 1u)) - i32(PADDING);
    sy += i32(draw.x % (2u * PADDING + 1u)) - i32(PADDING);
  }
  var bytes = vec3<u32>();
  if (sx >= 0 && sy >= 0 && sx < i32(WIDTH) && sy < i32(HEIGHT)) {
    let byte = ((image * HEIGHT + u32(sy)) * WIDTH + u32(sx)) * CHANNELS;
    bytes.x = load(byte);
    if (CHANNELS == 3u) {
      bytes.y = load(byte + 1u);
      bytes.z = load(byte + 2u);
    }
  }
  return bytes;
}

// A square around any pixel, cut off at the borders (DeVries and Taylor 2017).
fn is_cut_out(example: u32, py: i32, px: i32) -> bool {
  let draw = draws(example, CUTOUT_PURPOSE);
  let top = i32(draw.x % HEIGHT) - i32(CUTOUT / 2u);
  let left = i32(draw.y % WIDTH) - i32(CUTOUT / 2u);
  return py >= top && py < top + i32(CUTOUT) && px >= left && px < left + i32(CUTOUT);
}

// scale (2 side - 1)^2 for a side of at least 1, else 0.
fn rounded_square(side: u32, scale: f32) -> f32 {
  let odd = f32(2u * max(side, 1u) - 1u);
  return select(scale * (odd * odd), 0.0, side == 0u);
}

// round(sqrt(limit / (4 scale))): the largest side whose `rounded_square` is within the limit. Where the square root only
// guesses and products decide, every adapter gives the same.
fn rounded_side(limit: f32, scale: f32) -> u32 {
  var side = u32(0.5 * sqrt(limit / scale) + 0.5);
  while (rounded_square(side + 1u, scale) <= limit) { side++; }
  while (rounded_square(side, scale) > limit) { side--; }
  return side;
}

// Zhong et al. 2020, algorithm 1: an area of 0.02 to 0.4 of the image and an aspect ratio of 0.3 to 1 / 0.3, both in
// 65536ths, drawn until the rectangle fits, at most 10 times.
fn is_erased(example: u32, py: i32, px: i32) -> bool {
  var draw = draws(example, ERASING_PURPOSE);
  if ((draw.x >> 1u) >= ERASING) { return false; }
  for (var attempt = 0u; attempt < 10u; attempt++) {
    draw = pcg4d(draw);
    let area = f32(1311u + draw.x % 24904u) * f32(HEIGHT * WIDTH) * 0x1p-14f;
    let aspect = f32(19661u + draw.y % 198793u) * 0x1p-16f;
    let height = rounded_side(area * aspect, 1.0);
    let width = rounded_side(area, aspect);
    if (height > 0u && width > 0u && height < HEIGHT && width < WIDTH) {
      let row = u32(py) - draw.z % (HEIGHT - height + 1u);
      let column = u32(px) - draw.w % (WIDTH - width + 1u);
      return row < height && column < width;
    }
  }
  return false;
}

fn decode(image: u32, py: i32, px: i32) -> vec4<f32> {
  let example = examples[image];
  if (CUTOUT > 0u && is_cut_out(example, py, px)) { return vec4<f32>(); }
  var bytes: vec3<u32>;
  if (ERASING > 0u && is_erased(example, py, px)) {
    if (!ERASING_NOISE) { return vec4<f32>(); }
    let key = draws(example, NOISE_PURPOSE);
    bytes = pcg4d(vec4<u32>(key.xyz, u32(py) * WIDTH + u32(px))).xyz >> vec3<u32>(24u);
  } else {
    bytes = source(image, example, py, px);
  }
  let value = vec3<f32>(bytes) / 255.0;
  let first = (value.x - MEAN_0) / DEVIATION_0;
  if (CHANNELS == 1u) { return vec4<f32>(first, 0.0, 0.0, 0.0); }
  return vec4<f32>(first, (value.y - MEAN_1) / DEVIATION_1, (value.z - MEAN_2) / DEVIATION_2, 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let image = id.y;
  if (id.x >= WIDTH * HEIGHT) { return; }
  let px = i32(id.x % WIDTH);
  let py = i32(id.x / WIDTH);
  // A loop, so that what decodes is compiled once.
  var value = vec4<f32>();
  var share = select(1.0, 1.0 - step.mixup_share, MIXUP);
  for (var i = 0u; i < select(1u, 2u, MIXUP); i++) {
    value += share * decode((image + i * (BATCH - 1u)) % BATCH, py, px);
    share = step.mixup_share;
  }
  let row = image * (HEIGHT + 2u * HALO) + u32(py) + HALO;
  y[row * (WIDTH + 2u * HALO) + u32(px) + HALO] = Quad(value);
}
