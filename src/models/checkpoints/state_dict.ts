/** A network's weights from and to the state dict of PyTorch, as `safetensors.torch.save_file()` writes it. */
import type { Shape } from "../../gpu/mod.ts";
import type { NamedTensor } from "./checkpoint.ts";
import { pytorchNames } from "./pytorch_names.ts";
import { CheckpointError, type SafetensorsTensor, writeSafetensors } from "./safetensors.ts";

/** What a network stores: shapes by name, in the order of recording. */
export interface NetworkVariables {
  readonly parameters: ReadonlyMap<string, Shape>;
  readonly states: ReadonlyMap<string, Shape>;
}

export interface NetworkWeights {
  readonly parameters: ReadonlyMap<string, NamedTensor>;
  readonly states: ReadonlyMap<string, NamedTensor>;
}

type Tensors = Readonly<Record<string, SafetensorsTensor>>;

/** Names of tensors told of each kind of problem. */
const SHOWN = 5;
/** What PyTorch counts beside running statistics. */
const COUNTER = "num_batches_tracked";
/** What nn.DataParallel puts before every name. */
const PARALLEL = "module.";

/**
 * The weights of a network in a state dict that has either PyTorch's names (see pytorch_names.ts) or the names here;
 * F16, BF16 and F64 become f32.
 * @throws {CheckpointError} naming what is missing, unexpected, of another shape, or of a type that is none of these.
 */
export function readStateDict(tensors: Tensors, variables: NetworkVariables): NetworkWeights {
  const found = storedVariables(tensors);
  const names = namesIn(found, variables);
  const problems = new Problems();
  const read = (shapes: ReadonlyMap<string, Shape>): Map<string, NamedTensor> => {
    const weights = new Map<string, NamedTensor>();
    for (const [name, shape] of shapes) {
      const stored = names.get(name) ?? name;
      const tensor = found.get(stored);
      found.delete(stored);
      if (!tensor) problems.add("missing", stored);
      else weights.set(name, { shape, data: readTensor({ name: stored, shape }, tensor, problems) });
    }
    return weights;
  };
  const weights = { parameters: read(variables.parameters), states: read(variables.states) };
  for (const name of found.keys()) problems.add("unexpected", name);
  problems.throwIfAny();
  return weights;
}

/** The classes that a state dict's last layer tells apart; undefined where it has no such layer. */
export function classesIn(tensors: Tensors): number | undefined {
  const found = storedVariables(tensors);
  return (found.get("fc.weight") ?? found.get("head.linear.weight"))?.shape[0];
}

/**
 * A file that `safetensors.torch.load_file()` and `load_state_dict(strict=True)` load, with PyTorch's names.
 * @param steps What `num_batches_tracked` says.
 * @throws {CheckpointError} The weights are not those of the network.
 */
export function writeStateDict(
  weights: NetworkWeights,
  variables: NetworkVariables,
  { steps }: { readonly steps: number },
): Uint8Array<ArrayBuffer> {
  const tensors: Record<string, SafetensorsTensor> = {};
  for (const [name, stored] of pytorchNames(namesOf(variables))) {
    const tensor = weights.parameters.get(name) ?? weights.states.get(name);
    if (!tensor) throw new CheckpointError(`Cannot use the checkpoint: it has no "${name}"`);
    tensors[stored] = { dtype: "F32", ...tensor };
    const counter = stored.replace(/running_mean$/, COUNTER);
    if (counter !== stored) tensors[counter] = { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(steps)) };
  }
  return writeSafetensors(tensors, { format: "pt" });
}

function namesOf({ parameters, states }: NetworkVariables): string[] {
  return [...parameters.keys(), ...states.keys()];
}

/** What is meant to be a variable, by its name without the prefix that all have. */
function storedVariables(tensors: Tensors): Map<string, SafetensorsTensor> {
  const entries = Object.entries(tensors).filter(([name]) => !name.endsWith(COUNTER));
  const prefixed = entries.every(([name]) => name.startsWith(PARALLEL));
  return new Map(entries.map(([name, tensor]) => [prefixed ? name.slice(PARALLEL.length) : name, tensor]));
}

/** The names of the variables in a file: of PyTorch's and those here, the ones of which the file has more. */
function namesIn(found: ReadonlyMap<string, unknown>, variables: NetworkVariables): ReadonlyMap<string, string> {
  const own = namesOf(variables);
  const candidates = [pytorchNames(own), new Map(own.map((name) => [name, name]))];
  const [pytorch, here] = candidates.map((names) => [...names.values()].filter((name) => found.has(name)).length);
  return candidates[here > pytorch ? 1 : 0];
}

/** The tensor's values; none where a problem was found. */
function readTensor(
  { name, shape }: { readonly name: string; readonly shape: Shape },
  tensor: SafetensorsTensor,
  problems: Problems,
): Float32Array<ArrayBuffer> {
  const data = floatsOf(tensor);
  if (!data) problems.add("mistyped", `${name} (${tensor.dtype})`);
  else if (!fits(name, tensor.shape, shape)) {
    problems.add("misshapen", `${name} ([${tensor.shape}], not [${shape}])`);
  } else if (!data.every(Number.isFinite)) problems.add("infinite", name);
  return data ?? new Float32Array();
}

/** A coefficient k may be a scalar, or [1, C, 1, 1] for its channels. */
function fits(name: string, stored: Shape, shape: Shape): boolean {
  const essential = (sizes: Shape) => sizes.filter((size) => size !== 1).join();
  return stored.join() === shape.join() || (/(^|\.)k$/.test(name) && essential(stored) === essential(shape));
}

/** Undefined: integers. */
function floatsOf({ dtype, data }: SafetensorsTensor): Float32Array<ArrayBuffer> | undefined {
  switch (dtype) {
    case "F32":
      return data;
    case "F64":
      return Float32Array.from(data);
    case "F16":
      return Float32Array.from(new Float16Array(data.buffer, data.byteOffset, data.length / 2));
    case "BF16": {
      const halves = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
      return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
    }
    default:
      return undefined;
  }
}

/** What is said of tensors, given their names. */
const PROBLEMS = {
  missing: (names: string) => `it lacks ${names}`,
  unexpected: (names: string) => `the network has no ${names}`,
  misshapen: (names: string) => `of another shape are ${names}`,
  mistyped: (names: string) => `of a type other than F32, F16, BF16 and F64 are ${names}`,
  infinite: (names: string) => `not all values are finite in ${names}`,
} as const;

/** All that is wrong with a state dict, told at once. */
class Problems {
  readonly #found = new Map<keyof typeof PROBLEMS, string[]>();

  add(kind: keyof typeof PROBLEMS, what: string): void {
    this.#found.set(kind, [...this.#found.get(kind) ?? [], what]);
  }

  throwIfAny(): void {
    if (this.#found.size === 0) return;
    const parts = [...this.#found].map(([kind, names]) => {
      const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
      return PROBLEMS[kind](names.slice(0, SHOWN).join(", ") + more);
    });
    throw new CheckpointError(`Cannot use the weights for the network: ${parts.join("; ")}`);
  }
}
