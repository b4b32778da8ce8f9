// Adds noise that depends on (salt, image of the batch, place in the image) alone:
//   y[n, h, w, c] = x[n, h, w, c] + SIGMA z,  z from N(0, 1) (GAUSSIAN; Box and Muller 1958) or from U(0, 1)
// x, y: NHWC in channel quads with borders of their own; padding channels stay 0. salt.x: an integer below 2^24.
// One invocation computes one channel quad of one pixel.
override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override X_HALO: u32;
override Y_HALO: u32;
override SIGMA: f32;
override GAUSSIAN: bool;
override PURPOSE: u32;

const TAU: f32 = 6.2831853;

alias Quad = vec4<f32>;

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<uniform> salt: vec4<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;

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

fn place(image: u32, row: u32, column: u32, halo: u32) -> u32 {
  return (image * (HEIGHT + 2u * halo) + row + halo) * (WIDTH + 2u * halo) + column + halo;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let quads = (CHANNELS + 3u) / 4u;
  if (id.x >= HEIGHT * WIDTH * quads) { return; }
  let image = id.y;
  let c = id.x % quads;
  let column = id.x / quads % WIDTH;
  let row = id.x / quads / WIDTH;
  // 24 bits, which f32 has without rounding: in [0, 1).
  let uniforms = vec4<f32>(pcg4d(vec4<u32>(u32(salt.x), image, id.x, PURPOSE)) >> vec4<u32>(8u)) / 16777216.0;
  var z = uniforms;
  if (GAUSSIAN) {
    let radius = sqrt(-2.0 * log(1.0 - uniforms.xz));
    let angle = TAU * uniforms.yw;
    z = vec4<f32>(radius.x * cos(angle.x), radius.x * sin(angle.x), radius.y * cos(angle.y), radius.y * sin(angle.y));
  }
  z = select(vec4<f32>(), z, vec4<u32>(0u, 1u, 2u, 3u) + 4u * c < vec4<u32>(CHANNELS));
  let value = vec4<f32>(x[place(image, row, column, X_HALO) * quads + c]);
  y[place(image, row, column, Y_HALO) * quads + c] = Quad(value + SIGMA * z);
}
