/** Runs that start from weights that were trained before, in place of random ones. */
import type { Graph, Variable } from "../gpu/mod.ts";
import { type Checkpoint, initialValues, type NamedTensor, withoutOptimizer } from "../models/mod.ts";
import { readCheckpoint } from "./checkpoint_files.ts";
import { EngineError, type TrainingConfig } from "./messages.ts";

/** Of what a network needs not have from the checkpoint: the last layer, which may be for other classes, and counters. */
const OWN_PREFIXES = ["head.linear.", "optimizer."];

/**
 * The checkpoint that a configuration names; undefined where it names none.
 * @throws {EngineError} `not-found`, or `invalid`: it is damaged or of another network.
 */
export async function readInitialCheckpoint(
  dataDir: string,
  { initialCheckpoint: path, model }: TrainingConfig,
  graph: Graph,
): Promise<Checkpoint | undefined> {
  if (path === undefined) return undefined;
  const checkpoint = withoutOptimizer(await readCheckpoint(dataDir, path));
  const misfit = (reason: string) =>
    new EngineError(
      "invalid",
      `Cannot start ${model.name} from the checkpoint "${path}", which is of ${checkpoint.model.name}: ${reason}`,
    );
  const [parameters, states] = [checkpoint.parameters, checkpoint.states];
  for (const { tensor: { name, shape } } of [...graph.parameters, ...graph.states]) {
    if (OWN_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    const found = (parameters.get(name) ?? states.get(name))?.shape;
    if (!found) throw misfit(`it has no "${name}"`);
    if (found.join() !== shape.join()) throw misfit(`its "${name}" has shape [${found}], the network's is [${shape}]`);
  }
  return checkpoint;
}

/** What variables start from: their values in a checkpoint, where it has them in their shape, else random ones. */
export function startingValues(
  variables: readonly Variable[],
  seed: number,
  trained: ReadonlyMap<string, NamedTensor> = new Map(),
): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>(initialValues(variables, seed));
  for (const { tensor: { name, shape } } of variables) {
    const found = trained.get(name);
    if (found && found.shape.join() === shape.join()) values.set(name, found.data);
  }
  return values;
}
