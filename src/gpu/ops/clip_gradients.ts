/**
 * Global-norm clipping (Pascanu et al. 2013, algorithm 1): where the norm of all parameter gradients together is above a
 * bound, they are scaled down to it. No gradient is written: the factor goes to the update with the step's scalars.
 */
import { wgsl } from "../../wgsl/mod.ts";
import type { BufferHandle, Kernel } from "../graph/kernel.ts";
import type { Lowering } from "../graph/operation.ts";
import { bindableParts } from "../graph/packing.ts";
import { STEP_BYTES } from "./step.ts";

/** Gradient quads that an invocation sums at least, and the most invocations: their sums are added by a single one. */
const QUADS_PER_INVOCATION = 64;
const MAX_INVOCATIONS = 4096;
const WORKGROUP = 64;

/**
 * Kernels that sum the squares of all parameter gradients in a fixed order, and bound their norm.
 * @param options.step The step's scalars, whose factor undoes the loss scale first.
 * @returns Those scalars with the factor that the update takes; alive within the operation.
 */
export function clipGradients(
  memory: Lowering,
  { maxNorm, step }: { readonly maxNorm: number; readonly step: BufferHandle },
): { readonly kernels: readonly Kernel[]; readonly step: BufferHandle } {
  const { gradients } = memory.variables;
  const parts = bindableParts(gradients.bytes, memory.target.maxStorageBindingBytes);
  const wanted = Math.min(MAX_INVOCATIONS, Math.ceil(parts[0].size / 16 / QUADS_PER_INVOCATION));
  const invocations = Math.ceil(wanted / WORKGROUP) * WORKGROUP;
  const partials = memory.scratch("squares of gradients", parts.length * invocations * 4);
  const clipped = memory.scratch("clipped step", STEP_BYTES);
  const kernels = [
    ...parts.map((part, index): Kernel => ({
      label: "clip_gradients squares",
      code: wgsl.squareSums,
      constants: { QUADS: part.size / 16, INVOCATIONS: invocations, FIRST: index * invocations },
      bindings: [
        { buffer: gradients, ...part, access: "read" },
        { buffer: step, access: "uniform" },
        { buffer: partials, access: "read_write" },
      ],
      workgroups: [invocations / WORKGROUP, 1, 1],
    })),
    {
      label: "clip_gradients factor",
      code: wgsl.clipGradients,
      constants: { QUADS: parts.length * invocations / 4, MAX_NORM: maxNorm },
      bindings: [
        { buffer: partials, access: "read" },
        { buffer: step, access: "uniform" },
        { buffer: clipped, access: "read_write" },
      ],
      workgroups: [1, 1, 1],
    } satisfies Kernel,
  ];
  return { kernels, step: clipped };
}
