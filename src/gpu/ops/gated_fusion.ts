/**
 * A sum that a gated convolution takes into its kernel: where the gate is closed, the sum runs alone and without it.
 */
import type { Draw } from "../graph/draw.ts";
import type { Kernel, Target } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import type { Tensor } from "../graph/tensor.ts";

export class GatedFusion implements Operation {
  readonly kind: string;
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];

  constructor(readonly gate: Draw, readonly open: Operation, readonly closed: Operation) {
    this.kind = open.kind;
    this.description = open.description;
    this.inputs = [...new Set([...open.inputs, ...closed.inputs])];
    this.parameters = [...new Set([...open.parameters, ...closed.parameters])];
    this.outputs = open.outputs;
  }

  haloOf(input: Tensor): number {
    return Math.max(this.open.haloOf?.(input) ?? 0, this.closed.haloOf?.(input) ?? 0);
  }

  readThrough(producer: Operation, target: Target): Operation | undefined {
    if (this.closed.inputs.includes(producer.outputs[0])) return undefined;
    const open = this.open.readThrough?.(producer, target);
    return open && new GatedFusion(this.gate, open, this.closed);
  }

  lower(memory: Lowering): Kernel[] {
    return [
      ...memory.onlyWhen({ draw: this.gate, open: true }, this.open.lower(memory)),
      ...memory.onlyWhen({ draw: this.gate, open: false }, this.closed.lower(memory)),
    ];
  }
}
