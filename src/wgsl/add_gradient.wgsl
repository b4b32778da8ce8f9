// sum[i] += term[i] for i < LENGTH: what a later use of a parameter adds to its gradient.
// One invocation takes PER_INVOCATION scalars, INVOCATIONS apart.
override LENGTH: u32;
override INVOCATIONS: u32;
override PER_INVOCATION: u32;

@group(0) @binding(0) var<storage, read> term: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = 0u; i < PER_INVOCATION; i++) {
    let at = i * INVOCATIONS + id.x;
    if (at < LENGTH) { sum[at] += term[at]; }
  }
}
