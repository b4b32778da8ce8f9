import type { Target } from "./kernel.ts";
import type { Operation } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Lets operations take over those that feed them alone, so that the value between them is never stored.
 * @param keep Tensors that must exist after the step.
 */
export function fuseOperations(
  operations: readonly Operation[],
  { keep, target }: { readonly keep: readonly Tensor[]; readonly target: Target },
): Operation[] {
  const readers = new Map<Tensor, number>();
  for (const operation of operations) {
    for (const input of operation.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  }
  for (const tensor of keep) readers.set(tensor, Infinity);
  const producers = new Map<Tensor, Operation>();
  const alive = new Set<Operation>();
  for (const operation of operations) {
    let last = operation;
    for (const input of operation.inputs) {
      const producer = producers.get(input);
      const merged = producer && readers.get(input) === 1 ? operation.fuse?.(producer, target) : undefined;
      if (!producer || !merged) continue;
      alive.delete(producer);
      last = merged;
      break;
    }
    alive.add(last);
    last.outputs.forEach((output) => producers.set(output, last));
  }
  return [...alive];
}
