/**
 * Kernels that do one thing only, as often as the adapter can: binding 0 is what they read, binding 1 what they write,
 * so that no compiler drops the work.
 */
import type { Target } from "../src/gpu/mod.ts";

export interface Probe {
  readonly label: string;
  readonly code: string;
  readonly workgroups: readonly [number, number, number];
  /** Multiply-adds or loads of one dispatch, over all invocations. */
  readonly operations: number;
  readonly dataBytes: number;
  readonly resultBytes: number;
}

const WORKGROUP = 64;
const DATA_BYTES = 4096;

/** A body of some hundred multiply-adds in registers, in independent chains. */
export function multiplyAddKernel(accumulators: number): Probe {
  const [workgroups, rounds, steps] = [2048, 32, Math.round(480 / accumulators)];
  const names = range(accumulators).map((i) => `a${i}`);
  return {
    label: `multiply-adds in ${accumulators} chains`,
    code: `
@group(0) @binding(0) var<uniform> factors: vec4<f32>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let b = factors.x;
  let c = factors.y;
  ${names.map((name, i) => `var ${name} = f32(id.x) + ${i}.5;`).join(" ")}
  for (var i = 0u; i < ${rounds}u; i++) {
    ${range(steps).map(() => names.map((name) => `${name} = fma(${name}, b, c);`).join(" ")).join("\n    ")}
  }
  results[id.x] = ${names.join(" + ")};
}
`,
    workgroups: [workgroups, 1, 1],
    operations: workgroups * WORKGROUP * rounds * steps * accumulators,
    dataBytes: DATA_BYTES,
    resultBytes: workgroups * WORKGROUP * 4,
  };
}

export type LoadKind = "storage vec4" | "storage scalar" | "uniform vec4" | "workgroup scalar" | "subgroup broadcast";

/** The kinds of loads that a target has. */
export function loadKinds({ subgroupSize }: Target): LoadKind[] {
  const everywhere: LoadKind[] = ["storage vec4", "storage scalar", "uniform vec4", "workgroup scalar"];
  return subgroupSize > 1 ? [...everywhere, "subgroup broadcast"] : everywhere;
}

/** Loads a body, and chains that they are summed in. */
const LOADS = 32;
const CHAINS = 8;
const SCALARS = DATA_BYTES / 4;

/** A body of loads from 4 kB, neighbours by neighbouring invocations (uniform: one address for all). */
export function loadKernel(kind: LoadKind, { subgroupSize }: Target): Probe {
  const [workgroups, rounds] = [1024, 8];
  const vector = kind === "storage vec4" || kind === "uniform vec4";
  const type = vector ? "vec4<f32>" : "f32";
  const elements = vector ? SCALARS / 4 : SCALARS;
  const space = kind.startsWith("uniform") ? "uniform" : "storage, read";
  const first = kind.startsWith("uniform") ? "i" : "(local + i)";
  const value = (load: number) => {
    const at = `(${first} + ${load * 7}u) & ${elements - 1}u`;
    if (kind === "subgroup broadcast") return `subgroupBroadcast(s${(load + 1) % CHAINS}, ${load % subgroupSize}u)`;
    return kind.startsWith("workgroup") ? `tile[${at}]` : `data[${at}]`;
  };
  const names = range(CHAINS).map((i) => `s${i}`);
  const inWorkgroup = kind.startsWith("workgroup");
  const reads = inWorkgroup || kind.startsWith("subgroup") ? "f32" : type;
  return {
    label: `load ${kind}`,
    code: `
@group(0) @binding(0) var<${space}> data: array<${reads}, ${elements}>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;
${inWorkgroup ? `var<workgroup> tile: array<f32, ${elements}>;` : ""}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  ${inWorkgroup ? `for (var j = local; j < ${elements}u; j += ${WORKGROUP}u) { tile[j] = data[j]; }` : ""}
  ${inWorkgroup ? "workgroupBarrier();" : ""}
  ${names.map((name, i) => `var ${name} = ${type}(data[(local + ${i}u) & ${elements - 1}u]);`).join(" ")}
  for (var i = 0u; i < ${rounds}u; i++) {
    ${range(LOADS).map((load) => `s${load % CHAINS} += ${value(load)};`).join("\n    ")}
  }
  let sum = ${names.join(" + ")};
  results[id.x] = ${vector ? "sum.x + sum.y + sum.z + sum.w" : "sum"};
}
`,
    workgroups: [workgroups, 1, 1],
    operations: workgroups * WORKGROUP * rounds * LOADS,
    dataBytes: DATA_BYTES,
    resultBytes: workgroups * WORKGROUP * 4,
  };
}

/** Copies a buffer, a quad an invocation and round. */
export function copyKernel(bytes: number): Probe {
  const quads = bytes / 16;
  const workgroups = 2048;
  const stride = workgroups * WORKGROUP;
  return {
    label: "copy",
    code: `
@group(0) @binding(0) var<storage, read> data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < ${quads}u; i += ${stride}u) { results[i] = data[i]; }
}
`,
    workgroups: [workgroups, 1, 1],
    operations: quads,
    dataBytes: bytes,
    resultBytes: bytes,
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
