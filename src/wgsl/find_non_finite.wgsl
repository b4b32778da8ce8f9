// flags[FIRST + i] = 1 where one of invocation i's gradients is infinite or no number, else 0.
// It looks at the bits: a WGSL implementation may assume that there are no such values.
// gradients: QUADS vec4<f32>, read as their bits; invocation i takes the quads i, i + INVOCATIONS, ...
override QUADS: u32;
override INVOCATIONS: u32;
override FIRST: u32;

@group(0) @binding(0) var<storage, read> gradients: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> flags: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= INVOCATIONS) { return; }
  var largest = vec4<u32>();
  for (var at = id.x; at < QUADS; at += INVOCATIONS) { largest = max(largest, gradients[at] & vec4<u32>(0x7fffffffu)); }
  flags[FIRST + id.x] = select(0u, 1u, any(largest >= vec4<u32>(0x7f800000u)));
}
