/**
 * The exponential moving average of the parameters (Polyak averaging): e' = d e + (1 - d) w after every step, also one
 * that a loss scale skips, from the initial parameters on; timm's ModelEmaV2, and PyTorch's `swa_utils.AveragedModel`
 * updated once before training. Running statistics are not averaged: those of the network serve both, as AveragedModel
 * has it.
 *
 * The averages are states of the network, so they go into checkpoints, packed as the parameters are.
 */
import { wgsl } from "../../wgsl/mod.ts";
import type { Graph } from "../graph/graph.ts";
import type { Kernel } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import { bindableParts } from "../graph/packing.ts";
import type { Tensor } from "../graph/tensor.ts";

const QUADS_PER_WORKGROUP = 256;

/** The state's name that is the average of a parameter. */
export function averageName(parameter: string): string {
  return `optimizer.average.${parameter}`;
}

/**
 * Records the averages of all parameters recorded so far, after their update; the network's own states come before them.
 * @returns Those states, in the parameters' order: each is to start as its parameter does.
 */
export function movingAverage(graph: Graph, decay: number): readonly Tensor[] {
  const averages = graph.parameters.map(({ tensor: { name, shape } }) => {
    return graph.state(averageName(name), shape, { kind: "constant", value: 0 });
  });
  graph.record(new MovingAverage(averages[0], decay));
  return averages;
}

class MovingAverage implements Operation {
  readonly kind = "moving_average";
  readonly description = "moving average of the parameters";
  readonly inputs = [];
  readonly parameters = [];
  readonly outputs = [];
  readonly hasSideEffect = true;

  constructor(readonly first: Tensor, readonly decay: number) {}

  lower(memory: Lowering): Kernel[] {
    const { parameters } = memory.variables;
    const { buffer: states, offset: start } = memory.state(this.first);
    return bindableParts(parameters.bytes, memory.target.maxStorageBindingBytes).map(({ offset, size }): Kernel => ({
      label: this.kind,
      code: wgsl.movingAverage,
      constants: { QUADS: size / 16, WEIGHT: 1 - this.decay },
      bindings: [
        { buffer: parameters, offset, size, access: "read" },
        { buffer: states, offset: start + offset, size, access: "read_write" },
      ],
      workgroups: [Math.ceil(size / 16 / QUADS_PER_WORKGROUP), 1, 1],
    }));
  }
}
