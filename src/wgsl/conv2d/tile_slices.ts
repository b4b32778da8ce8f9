import { enableElements, storedType } from "../element_type.ts";
import { channelQuads } from "../layout.ts";
import { type TileConvolution, tileExtents, type TileSource } from "./tile_convolution.ts";
import { workgroupGrid } from "./tile_memory.ts";
import { epilogueBindings, epilogueVectors } from "./epilogue.ts";
import { pixelStarts, storeSum } from "./tile_stores.ts";

/**
 * Text of the kernel that adds the slices of a convolution's sums in order and stores them after the epilogue. One
 * invocation takes one channel quad of one pixel.
 */
export function tileSlicesSource(
  convolution: TileConvolution,
  { maxWorkgroups }: { readonly maxWorkgroups: number },
): TileSource {
  const { output, epilogue, sliceSteps } = convolution;
  const { steps, partialQuads } = tileExtents(convolution);
  const size = 64;
  const workgroups = workgroupGrid(Math.ceil(partialQuads / size), maxWorkgroups);
  const code = `${enableElements(output, ...epilogue?.inputs ?? [])}\
// Adds the slices of a convolution's sums in order.
// One invocation takes one channel quad of one pixel.
@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<${storedType(output.elementType)}>;
${epilogueBindings(epilogue, 2)}
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let index = (workgroup.y * ${workgroups[0]}u + workgroup.x) * ${size}u + thread;
  if (index >= ${partialQuads}u) { return; }
  let pixel = index / ${channelQuads(output)}u;
  let quad0 = index % ${channelQuads(output)}u;
  var sum = vec4<f32>();
  for (var slice = 0u; slice < ${Math.ceil(steps / sliceSteps)}u; slice++) {
    sum += partials[slice * ${partialQuads}u + index];
  }
  ${
    [...pixelStarts(convolution), ...epilogueVectors(epilogue, "quad0", "_0"), storeSum(convolution, "sum", 0)].join(
      "\n  ",
    )
  }
}
`;
  return { code, workgroups };
}
