/** Runs that start from weights that were trained before, in place of random ones. */
import type { Graph, Variable } from "../gpu/mod.ts";
import { type Checkpoint, initialValues, type NamedTensor, withoutOptimizer } from "../models/mod.ts";
import { readCheckpoint } from "./checkpoint_files.ts";
import { EngineError, type TrainingConfig } from "./messages.ts";

/** What a network need not have from the checkpoint: the last layer, which may be of another number of classes, and counters. */
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
  const stored = new Map([...checkpoint.parameters, ...checkpoint.states]);
  const variables = [...graph.parameters, ...graph.states];
  for (const { tensor: { name, shape } } of variables) {
    if (OWN_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    const found = stored.get(name)?.shape;
    if (!found) throw misfit(`it has no "${name}"`);
    if (found.join() !== shape.join()) throw misfit(`its "${name}" has shape [${found}], the network's is [${shape}]`);
  }
  // Without its multi-step coefficients, say, the weights are of another function.
  const known = new Set(variables.map(({ tensor: { name } }) => name));
  const unused = [...stored.keys()].find((name) => !known.has(name));
  if (unused !== undefined) throw misfit(`the network has no "${unused}"`);
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
