import type { Target } from "./kernel.ts";
import type { Operation } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Takes operations together, so that the values between them are never stored: first those that continue what feeds
 * them alone, then those that all readers can compute as they load.
 * @param keep Tensors that must exist after the step.
 */
export function fuseOperations(
  operations: readonly Operation[],
  options: { readonly keep: readonly Tensor[]; readonly target: Target },
): Operation[] {
  return readThrough(fuseIntoProducers(operations, options), options);
}

function fuseIntoProducers(
  operations: readonly Operation[],
  { keep }: { readonly keep: readonly Tensor[] },
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
      const merged = producer && readers.get(input) === 1 ? operation.fuse?.(producer) : undefined;
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

function readThrough(
  operations: readonly Operation[],
  { keep, target }: { readonly keep: readonly Tensor[]; readonly target: Target },
): Operation[] {
  let current = [...operations];
  for (const operation of operations) {
    const [output] = operation.outputs;
    if (!operation.canBeReadThrough || keep.includes(output)) continue;
    const readers = current.filter((reader) => reader.inputs.includes(output));
    const merged = new Map(readers.map((reader) => [reader, reader.readThrough?.(operation, target)]));
    if ([...merged.values()].includes(undefined)) continue;
    current = current.filter((other) => other !== operation).map((other) => merged.get(other) ?? other);
  }
  return current;
}
