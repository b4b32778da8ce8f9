/**
 * An estimate of how long a tiled matrix product takes on a data-centre GPU, to rank tiles before any was measured. It
 * counts what a multiprocessor issues, reads from workgroup memory and loads from its caches, the longest of which
 * decides, and what lies idle. The numbers are NVIDIA's for its A100 and H100 (108 and 132 multiprocessors, 32-lane
 * subgroups, 128 bytes a cycle of workgroup memory), rounded; what has no number there is a guess.
 */

/** Multiprocessors; each issues 4 instructions of 32 lanes in a cycle. */
const PROCESSORS = 100;
const LANES = 32;
const ISSUES = 4;

/** Quads that workgroup memory delivers, and bytes from the second-level cache, in a cycle of a multiprocessor. */
const SHARED_QUADS = 8;
const CACHE_BYTES = 24;

/** Subgroups of a multiprocessor that hide latency fully when each has many independent sums. */
const HIDING_SUBGROUPS = 8;

/** Quads an invocation may load in a step: each waits in registers, of which the sums leave few. */
export const MAX_LOADS = 8;

/** Cycles of a barrier and of turning to the next step, and of starting and ending a workgroup. */
const STEP_CYCLES = 60;
const WORKGROUP_CYCLES = 1500;

/** Bytes a cycle of a multiprocessor to and from memory, and the cycles until a read of it arrives. */
const MEMORY_BYTES = 12;
const MEMORY_LATENCY = 500;

export interface TiledProduct {
  readonly workgroups: number;
  readonly threads: number;
  /** Of a workgroup. */
  readonly steps: number;
  /** Of one invocation and step: multiply-adds, and quads read from workgroup memory. */
  readonly multiplyAdds: number;
  readonly fragments: readonly Fragment[];
  /** Of one invocation and step: quads loaded from memory, and instructions to find, load and stage each. */
  readonly loads: number;
  readonly loadInstructions: number;
  /** Of a workgroup and step, from memory. */
  readonly loadedBytes: number;
}

/** Reads of workgroup memory: how many an invocation does, and how many different quads a subgroup asks for in each. */
export interface Fragment {
  readonly reads: number;
  readonly distinct: number;
}

/** Cycles from the first workgroup's start to the last one's end. */
export function productCycles(product: TiledProduct): number {
  const { workgroups, threads, steps, multiplyAdds, fragments, loads, loadedBytes } = product;
  const subgroups = Math.ceil(threads / LANES);
  const reads = fragments.reduce((sum, fragment) => sum + fragment.reads, 0);
  const readCycles = fragments.reduce(
    (sum, { reads, distinct }) => sum + reads * Math.ceil(distinct / SHARED_QUADS),
    0,
  );
  const instructions = multiplyAdds + reads + loads * product.loadInstructions;
  const compute = subgroups * Math.max(instructions / ISSUES, readCycles);
  const waves = Math.ceil(workgroups / PROCESSORS);
  const hiding = Math.min(1, waves * subgroups / HIDING_SUBGROUPS);
  return waves * (steps * (Math.max(compute, loadedBytes / CACHE_BYTES) + STEP_CYCLES) + WORKGROUP_CYCLES) / hiding;
}

/** Cycles to add the partial sums of `slices`, written and read once. */
export function reductionCycles({ slices, bytes }: { readonly slices: number; readonly bytes: number }): number {
  return 2 * slices * bytes / (PROCESSORS * MEMORY_BYTES) + slices * MEMORY_LATENCY;
}
