import type { Draw } from "./draw.ts";
import type { Target } from "./kernel.ts";
import type { Operation } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Takes operations together, so that the values between them are never stored: first those that continue what feeds
 * them alone, then those that all readers can compute as they load.
 * @param options.keep Tensors that must exist after the step.
 * @param options.gates What operations run under; takes those of operations that are made here.
 */
export function fuseOperations(operations: readonly Operation[], options: FuseOptions): Operation[] {
  return readThrough(fuseIntoProducers(operations, options), options);
}

interface FuseOptions {
  readonly keep: readonly Tensor[];
  readonly target: Target;
  readonly gates: Map<Operation, Draw>;
}

function fuseIntoProducers(operations: readonly Operation[], { keep, gates }: FuseOptions): Operation[] {
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
      passGate(gates, operation, merged);
      last = merged;
      break;
    }
    alive.add(last);
    last.outputs.forEach((output) => producers.set(output, last));
  }
  return [...alive];
}

function readThrough(operations: readonly Operation[], { keep, target, gates }: FuseOptions): Operation[] {
  let current = [...operations];
  for (const operation of operations) {
    const [output] = operation.outputs;
    if (!operation.canBeReadThrough || keep.includes(output)) continue;
    const readers = current.filter((reader) => reader.inputs.includes(output));
    const merged = new Map(readers.map((reader) => [reader, reader.readThrough?.(operation, target)]));
    if ([...merged.values()].includes(undefined)) continue;
    for (const [reader, made] of merged) if (made) passGate(gates, reader, made);
    current = current.filter((other) => other !== operation).map((other) => merged.get(other) ?? other);
  }
  return current;
}

/** An operation that is made in place of a reader runs when that does. */
function passGate(gates: Map<Operation, Draw>, reader: Operation, made: Operation): void {
  const gate = gates.get(reader);
  if (gate) gates.set(made, gate);
}
