/**
 * Stochastic gradient descent with momentum m and weight decay d, over all parameters at once:
 *
 *   g' = g + d w;  v' = m v + g';  w' = w - lr v', or with Nesterov's momentum w - lr (g' + m v')
 *
 * as PyTorch's SGD does, whose form of Nesterov's momentum (Sutskever et al. 2013) looks ahead from the new weights.
 */
import { wgsl } from "../../wgsl/mod.ts";
import type { Graph, ParameterRole } from "../graph/graph.ts";
import type { BufferHandle, Kernel } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import { Packing, PARAMETER_ALIGNMENT } from "../graph/packing.ts";
import { clipGradients } from "./clip_gradients.ts";
import { checkGradients, type LossScale } from "./loss_scale.ts";

export interface SgdOptions {
  readonly momentum: number;
  readonly weightDecay: number;
  /** Default false. */
  readonly nesterov?: boolean;
  /** Holds the learning rate. */
  readonly step: BufferHandle;
  /** The most that the norm of all gradients may be, before weight decay; default: any norm is taken. */
  readonly clipGlobalNorm?: number;
  /** Where gradients are multiplied by one: the update undoes it, or is skipped where they are not finite. */
  readonly lossScale?: LossScale;
}

/**
 * Records the update of every parameter recorded so far; record it last.
 * @returns The buffer of decay scales, to be filled with `decayScales(graph)` before the first step.
 */
export function sgd(graph: Graph, options: SgdOptions): BufferHandle {
  const scales = graph.input("decay_scales", decayScales(graph).byteLength);
  graph.record(new Sgd(options, scales));
  return scales;
}

/** For each 64 packed scalars 1 where weight decay applies, else 0: to parameters of the roles in `undecayed`. */
export function decayScales(
  graph: Graph,
  undecayed: ReadonlySet<ParameterRole> = new Set(),
): Float32Array<ArrayBuffer> {
  const packing = new Packing(graph.parameters);
  const scales = new Float32Array(packing.bytes / PARAMETER_ALIGNMENT);
  graph.parameters.forEach(({ tensor, role }, i) => {
    const next = graph.parameters[i + 1];
    const start = packing.offsetOf(tensor) / PARAMETER_ALIGNMENT;
    const end = next ? packing.offsetOf(next.tensor) / PARAMETER_ALIGNMENT : scales.length;
    scales.fill(undecayed.has(role) ? 0 : 1, start, end);
  });
  return scales;
}

class Sgd implements Operation {
  readonly kind = "sgd";
  readonly description = "stochastic gradient descent";
  readonly inputs = [];
  readonly parameters = [];
  readonly outputs = [];
  readonly hasSideEffect = true;

  constructor(readonly options: SgdOptions, readonly scales: BufferHandle) {}

  lower(memory: Lowering): Kernel[] {
    const { momentum, nesterov = false, weightDecay, clipGlobalNorm: maxNorm, lossScale } = this.options;
    const unscaled = lossScale && checkGradients(memory, lossScale, this.options.step);
    const scaled = unscaled?.step ?? this.options.step;
    const clipped = maxNorm === undefined ? undefined : clipGradients(memory, { maxNorm, step: scaled });
    const step = clipped?.step ?? scaled;
    const { variables, target } = memory;
    const blocks = variables.parameters.bytes / PARAMETER_ALIGNMENT;
    // Parts that can be bound; the scales' offsets must be multiples of 256 bytes too.
    const most = Math.floor(target.maxStorageBindingBytes / PARAMETER_ALIGNMENT / 64) * 64;
    const kernels = [...unscaled?.kernels ?? [], ...clipped?.kernels ?? []];
    for (let first = 0; first < blocks; first += most) {
      const count = Math.min(most, blocks - first);
      const part = { offset: first * PARAMETER_ALIGNMENT, size: count * PARAMETER_ALIGNMENT };
      kernels.push({
        label: this.kind,
        code: wgsl.sgd,
        constants: { MOMENTUM: momentum, NESTEROV: nesterov ? 1 : 0, WEIGHT_DECAY: weightDecay, BLOCKS: count },
        bindings: [
          { buffer: variables.parameters, ...part, access: "read_write" },
          { buffer: variables.gradients, ...part, access: "read" },
          { buffer: variables.velocities, ...part, access: "read_write" },
          { buffer: this.scales, offset: first * 4, size: count * 4, access: "read" },
          { buffer: step, access: "uniform" },
        ],
        workgroups: [Math.ceil(count / 16), 1, 1],
      });
    }
    return kernels;
  }
}
