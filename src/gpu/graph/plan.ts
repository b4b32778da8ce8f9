import { type ElementType, quadBytes } from "../../wgsl/mod.ts";
import { MemoryLimitError } from "../errors.ts";
import type { Condition, Draw } from "./draw.ts";
import { fuseOperations } from "./fuse.ts";
import { type GatedGradients, gatedGradients } from "./gated_gradients.ts";
import type { Graph } from "./graph.ts";
import type { Interlude } from "./interlude.ts";
import type { BufferHandle, Candidate, ImageBuffer, Kernel, ParameterRange, Question, Target } from "./kernel.ts";
import type { Lowering, Operation } from "./operation.ts";
import { type PackedBuffers, Packing } from "./packing.ts";
import { SharedGradients } from "./shared_gradients.ts";
import { type Border, SlotAllocator } from "./slots.ts";
import { imageBytes, imageShape, quads, type Tensor } from "./tensor.ts";

/** A graph made ready to run: dispatches in order, and the buffers they need. */
export interface Plan {
  readonly kernels: readonly Kernel[];
  /** The operation that a kernel belongs to. */
  readonly origins: ReadonlyMap<Kernel, Operation>;
  /** Of kernels that do not run in every step. */
  readonly conditions: ReadonlyMap<Kernel, readonly Condition[]>;
  readonly gatedGradients: readonly GatedGradients[];
  readonly draws: readonly Draw[];
  readonly slots: SlotAllocator;
  readonly variables: PackedBuffers;
  readonly parameterPacking: Packing;
  readonly statePacking: Packing;
  readonly inputs: readonly BufferHandle[];
  /** Where tensors that were asked for, and sources, lie. */
  readonly kept: ReadonlyMap<Tensor, ImageBuffer>;
  /** Activations, gradients of activations, scratch and packed weights, in bytes. */
  readonly workingBytes: number;
  /** Of the working bytes, what `packed` took: they grow with the parameters, not with the batch. */
  readonly packedBytes: number;
  /** Working bytes and parameters, gradients, velocities and statistics. */
  readonly totalBytes: number;
}

export interface PlanOptions {
  readonly target: Target;
  /** Tensors whose content is read after the step. */
  readonly keep?: readonly Tensor[];
  /** Upper bound of `totalBytes`. */
  readonly memoryBudget?: number;
  /** Picks the forms of operations; default: the first candidate. */
  readonly choose?: (question: Question) => Candidate;
}

/**
 * Lowers a graph: drops what nothing needs, settles the zero borders, gives
 * every value a buffer for as long as it is alive, and lists the dispatches.
 *
 * @throws {MemoryLimitError} when a buffer cannot be bound or the whole is past the budget.
 */
export function planGraph(graph: Graph, options: PlanOptions): Plan {
  const parts = new Planner(graph, options).run();
  while (true) {
    const { done, value } = parts.next();
    if (done) return value;
  }
}

/** The same with an interlude after each operation: thousands of them take seconds. */
export async function planGraphPaced(graph: Graph, options: PlanOptions, interlude?: Interlude): Promise<Plan> {
  const parts = new Planner(graph, options).run();
  while (true) {
    const { done, value } = parts.next();
    if (done) return value;
    await interlude?.();
  }
}

class Planner implements Lowering {
  readonly target: Target;
  readonly variables: PackedBuffers;
  readonly #graph: Graph;
  readonly #options: PlanOptions;
  readonly #operations: readonly Operation[];
  readonly #gates: ReadonlyMap<Operation, Draw>;
  readonly #conditions = new Map<Kernel, readonly Condition[]>();
  readonly #halos: ReadonlyMap<Tensor, number>;
  readonly #lastUse: ReadonlyMap<Tensor, number>;
  readonly #slots = new SlotAllocator();
  readonly #images = new Map<Tensor, ImageBuffer>();
  readonly #elementTypes = new Map<BufferHandle, ElementType>();
  readonly #parameterPacking: Packing;
  readonly #statePacking: Packing;
  readonly #sharedGradients: SharedGradients;
  #lowering: Operation | undefined;
  #scratch: BufferHandle[] = [];
  #packedBytes = 0;
  #nextId = -1;

  constructor(graph: Graph, options: PlanOptions) {
    this.target = options.target;
    this.#graph = graph;
    this.#options = options;
    const keep = options.keep ?? [];
    const alive = withoutDeadOperations(graph.operations, keep);
    const gates = gatesOf(graph, alive);
    this.#operations = fuseOperations(alive, { keep, target: this.target, gates });
    this.#gates = gates;
    this.#sharedGradients = new SharedGradients(this.#operations);
    this.#halos = haloOfEach(this.#operations);
    this.#lastUse = lastUses(this.#operations);
    this.#parameterPacking = new Packing(graph.parameters);
    this.#statePacking = new Packing(graph.states);
    const parameterBytes = this.#parameterPacking.bytes;
    this.variables = {
      parameters: this.#buffer("parameters", parameterBytes),
      gradients: this.#buffer("gradients", parameterBytes),
      velocities: this.#buffer("velocities", parameterBytes),
      states: this.#buffer("states", this.#statePacking.bytes),
    };
  }

  /** Yields after each operation. */
  *run(): Generator<void, Plan> {
    const origins = new Map<Kernel, Operation>();
    const keep = new Set(this.#options.keep ?? []);
    for (const tensor of new Set(this.#operations.flatMap((operation) => operation.inputs))) {
      if (tensor.role === "source") this.#slots.reserve(this.#place(tensor).buffer);
    }
    for (const [position, operation] of this.#operations.entries()) {
      for (const output of operation.outputs) {
        const image = this.#place(output);
        const border = borderOf(image);
        if (keep.has(output)) this.#slots.reserve(image.buffer, border);
        else if (border) this.#slots.allocateBordered(image.buffer, border);
        else this.#slots.allocate(image.buffer);
      }
      this.#lowering = operation;
      const kernels = [...operation.lower(this), ...this.#sharedGradients.takeSums()];
      for (const kernel of kernels) origins.set(kernel, operation);
      const gate = this.#gates.get(operation);
      if (gate) this.onlyWhen({ draw: gate, open: true }, kernels);
      this.#releaseAfter(operation, position, keep);
      yield;
    }
    return this.#finish(origins, keep);
  }

  image(tensor: Tensor): ImageBuffer {
    const image = this.#images.get(tensor);
    if (!image) throw new Error(`Cannot place "${tensor.name}": no operation has written it`);
    return image;
  }

  parameter(tensor: Tensor): ParameterRange {
    return range(this.variables.parameters, this.#parameterPacking, tensor);
  }

  gradient(parameter: Tensor): ParameterRange {
    if (!this.#lowering) throw new Error(`Cannot place the gradient of "${parameter.name}": nothing is being lowered`);
    const gradient = range(this.variables.gradients, this.#parameterPacking, parameter);
    return this.#sharedGradients.rangeFor(this.#lowering, { parameter, gradient }, this);
  }

  state(tensor: Tensor): ParameterRange {
    return range(this.variables.states, this.#statePacking, tensor);
  }

  scratch(label: string, bytes: number): BufferHandle {
    const handle = this.#handle(label, bytes);
    this.#slots.allocate(handle);
    this.#scratch.push(handle);
    return handle;
  }

  packed(label: string, bytes: number): BufferHandle {
    const handle = this.#handle(label, bytes);
    this.#slots.reserve(handle);
    this.#packedBytes += handle.bytes;
    return handle;
  }

  onlyWhen(condition: Condition, kernels: readonly Kernel[]): readonly Kernel[] {
    for (const kernel of kernels) {
      this.#conditions.set(kernel, [condition, ...this.#conditions.get(kernel) ?? []]);
    }
    return kernels;
  }

  choose(key: string, candidates: readonly Candidate[]): Candidate {
    // Training packs the weights anew every step, which another form may be worth.
    const repack = this.#graph.options.training;
    const question = {
      key: `${repack ? "training" : "inference"} ${key}`,
      candidates,
      repack,
      elementTypes: this.#elementTypes,
    };
    return this.#options.choose?.(question) ?? candidates[0];
  }

  #handle(label: string, bytes: number): BufferHandle {
    const limit = this.target.maxStorageBindingBytes;
    if (bytes > limit) throw new MemoryLimitError(`One binding (${label})`, bytes, limit);
    return this.#buffer(label, bytes);
  }

  /** A buffer that is only ever bound in parts. */
  #buffer(label: string, bytes: number): BufferHandle {
    const limit = this.target.maxBufferBytes;
    if (bytes > limit) throw new MemoryLimitError(`One buffer (${label})`, bytes, limit);
    return { id: this.#nextId--, label, bytes: Math.ceil(bytes / 16) * 16 };
  }

  #place(tensor: Tensor): ImageBuffer {
    const halo = this.#halos.get(tensor) ?? 0;
    const shape = imageShape(tensor);
    const { height, width, channels } = shape;
    const elementType = this.#graph.elementOf(tensor);
    const buffer = this.#handle(tensor.name, imageBytes(shape, halo, elementType));
    const image = { buffer, height, width, channels, halo, elementType };
    this.#images.set(tensor, image);
    this.#elementTypes.set(buffer, elementType);
    return image;
  }

  #releaseAfter(operation: Operation, position: number, keep: ReadonlySet<Tensor>): void {
    for (const handle of this.#scratch) this.#slots.release(handle);
    this.#scratch = [];
    for (const tensor of new Set([...operation.inputs, ...operation.outputs])) {
      const ended = (this.#lastUse.get(tensor) ?? position) === position;
      if (ended && tensor.role === "value" && !keep.has(tensor)) this.#slots.release(this.image(tensor).buffer);
    }
  }

  #finish(origins: ReadonlyMap<Kernel, Operation>, keep: ReadonlySet<Tensor>): Plan {
    const workingBytes = this.#slots.slots.reduce((sum, slot) => sum + slot.size, 0);
    const inputBytes = this.#graph.inputs.reduce((sum, input) => sum + input.bytes, 0);
    const variableBytes = Object.values(this.variables).reduce((sum, { bytes }) => sum + bytes, 0);
    const totalBytes = workingBytes + inputBytes + variableBytes;
    const budget = this.#options.memoryBudget ?? Infinity;
    if (totalBytes > budget) throw new MemoryLimitError("A step", totalBytes, budget);
    const kept = [...this.#images].filter(([tensor]) => tensor.role === "source" || keep.has(tensor));
    return {
      kernels: [...origins.keys()],
      origins,
      conditions: this.#conditions,
      gatedGradients: gatedGradients(
        this.#operations,
        this.#gates,
        (parameter) => range(this.variables.gradients, this.#parameterPacking, parameter),
      ),
      draws: this.#graph.draws,
      slots: this.#slots,
      variables: this.variables,
      parameterPacking: this.#parameterPacking,
      statePacking: this.#statePacking,
      inputs: this.#graph.inputs,
      kept: new Map(kept),
      workingBytes,
      packedBytes: this.#packedBytes,
      totalBytes,
    };
  }
}

function gatesOf(graph: Graph, operations: readonly Operation[]): Map<Operation, Draw> {
  const gates = new Map<Operation, Draw>();
  for (const operation of operations) {
    const gate = graph.gateOf(operation);
    if (gate) gates.set(operation, gate);
  }
  return gates;
}

function borderOf({ height, width, channels, halo, elementType }: ImageBuffer): Border | undefined {
  return halo > 0 ? { height, width, halo, bytes: quads(channels) * quadBytes(elementType) } : undefined;
}

function range(buffer: BufferHandle, packing: Packing, tensor: Tensor): ParameterRange {
  return { buffer, offset: packing.offsetOf(tensor), length: tensor.shape.reduce((a, b) => a * b, 1) };
}

/** Keeps what leads to a kept tensor, a parameter's gradient or a side effect. */
function withoutDeadOperations(operations: readonly Operation[], keep: readonly Tensor[]): Operation[] {
  const needed = new Set<Tensor>(keep);
  const alive: Operation[] = [];
  for (const operation of [...operations].reverse()) {
    const writesGradient = (operation.parameterGradients?.length ?? 0) > 0;
    if (writesGradient || operation.hasSideEffect || operation.outputs.some((output) => needed.has(output))) {
      operation.inputs.forEach((input) => needed.add(input));
      alive.push(operation);
    }
  }
  return alive.reverse();
}

/** The widest zero border that any reader asks for. */
function haloOfEach(operations: readonly Operation[]): Map<Tensor, number> {
  const halos = new Map<Tensor, number>();
  for (const operation of operations) {
    for (const input of operation.inputs) {
      halos.set(input, Math.max(halos.get(input) ?? 0, operation.haloOf?.(input) ?? 0));
    }
  }
  return halos;
}

function lastUses(operations: readonly Operation[]): Map<Tensor, number> {
  const last = new Map<Tensor, number>();
  operations.forEach((operation, position) => {
    for (const tensor of [...operation.inputs, ...operation.outputs]) last.set(tensor, position);
  });
  return last;
}
