/**
 * Gradients of parameters that several operations use: the first operation writes its share to the gradient's place,
 * every later one writes to scratch, which a kernel adds. The order is that of the operations, so the sum's bits are
 * always the same; a parameter that is used once takes no kernel and no memory more.
 */
import { wgsl } from "../../wgsl/mod.ts";
import type { Kernel, ParameterRange, ScratchAllocator } from "./kernel.ts";
import type { Operation } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

const WORKGROUP = 64;
const SCALARS_PER_INVOCATION = 16;

export class SharedGradients {
  readonly #firstWriter = new Map<Tensor, Operation>();
  /** Of the operation that is being lowered: what its kernels write, and where that is to be added. */
  #shares: { readonly share: ParameterRange; readonly sum: ParameterRange }[] = [];

  constructor(operations: readonly Operation[]) {
    for (const operation of operations) {
      for (const parameter of operation.parameterGradients ?? []) {
        if (!this.#firstWriter.has(parameter)) this.#firstWriter.set(parameter, operation);
      }
    }
  }

  /** Where `operation` writes its share of a parameter's gradient, whose place is `gradient`. */
  rangeFor(
    operation: Operation,
    { parameter, gradient }: { readonly parameter: Tensor; readonly gradient: ParameterRange },
    memory: ScratchAllocator,
  ): ParameterRange {
    if (this.#firstWriter.get(parameter) === operation) return gradient;
    const { length } = gradient;
    const share = { buffer: memory.scratch(`gradient of ${parameter.name}`, length * 4), offset: 0, length };
    this.#shares.push({ share, sum: gradient });
    return share;
  }

  /** The kernels that add the shares of the operation that was lowered last. */
  takeSums(): Kernel[] {
    const shares = this.#shares;
    this.#shares = [];
    return shares.map(({ share, sum: { buffer, offset, length } }) => {
      const workgroups = Math.ceil(length / SCALARS_PER_INVOCATION / WORKGROUP);
      return {
        label: "add_gradient",
        code: wgsl.addGradient,
        constants: {
          LENGTH: length,
          INVOCATIONS: workgroups * WORKGROUP,
          PER_INVOCATION: Math.ceil(length / (workgroups * WORKGROUP)),
        },
        bindings: [
          { buffer: share.buffer, access: "read" },
          { buffer, offset, size: length * 4, access: "read_write" },
        ],
        workgroups: [workgroups, 1, 1],
      };
    });
  }
}
