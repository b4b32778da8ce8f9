import type { Operation } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Lets operations take over those that feed them alone, so that the value between them is never stored.
 * @param keep Tensors that must exist after the step.
 */
export function fuseOperations(operations: readonly Operation[], keep: readonly Tensor[]): Operation[] {
  const readers = new Map<Tensor, number>();
  for (const operation of operations) {
    for (const input of operation.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  }
  for (const tensor of keep) readers.set(tensor, Infinity);
  const producers = new Map<Tensor, Operation>();
  const fused = new Map<Operation, Operation | undefined>();
  for (const operation of operations) {
    for (const input of operation.inputs) {
      const producer = producers.get(input);
      const merged = producer && readers.get(input) === 1 ? operation.fuse?.(producer) : undefined;
      if (!producer || !merged) continue;
      fused.set(producer, undefined);
      fused.set(operation, merged);
      break;
    }
    if (!fused.has(operation)) operation.outputs.forEach((output) => producers.set(output, operation));
  }
  return operations.flatMap((operation) => fused.has(operation) ? fused.get(operation) ?? [] : operation);
}
