/** What the tiled kernels share: workgroup memory, and how the invocations of a workgroup fill it together. */

/** Workgroup memory and invocations that every WebGPU adapter has; every tile keeps to them. */
export const MAX_TILE_BYTES = 16384;
export const MAX_TILE_INVOCATIONS = 256;

/** The type of nested arrays of vec4<f32>, outermost extent first. */
export function quadArray(extents: readonly number[]): string {
  return extents.reduceRight((type, extent) => `array<${type}, ${extent}>`, "vec4<f32>");
}

/** Of `count` vec4s that a workgroup loads, the ones of one invocation: `thread`, `thread` + threads, ... */
export interface LoadSlot {
  /** WGSL: which of the vec4s. */
  readonly index: string;
  /** WGSL: whether there is such a one; absent where there always is. */
  readonly condition?: string;
}

export function loadSlots({ count, threads }: { readonly count: number; readonly threads: number }): LoadSlot[] {
  return Array.from({ length: Math.ceil(count / threads) }, (_, j) => {
    const index = j === 0 ? "thread" : `(thread + ${j * threads}u)`;
    return (j + 1) * threads > count ? { index, condition: `${index} < ${count}u` } : { index };
  });
}

/** How a number of workgroups becomes a grid whose axes are at most `limit` long; it may have some too many. */
export function workgroupGrid(workgroups: number, limit: number): readonly [number, number, number] {
  const x = Math.min(workgroups, limit);
  return [x, Math.ceil(workgroups / x), 1];
}
