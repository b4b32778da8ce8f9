import type { ElementType } from "../../wgsl/mod.ts";
import { type Draw, DRAW_ALIGNMENT } from "./draw.ts";
import type { BufferHandle } from "./kernel.ts";
import type { Operation } from "./operation.ts";
import type { Shape, Tensor, TensorRole } from "./tensor.ts";
import { elementCount, formatShape, sameShape } from "./tensor.ts";

/** How a parameter or a running statistic starts. */
export type Initializer =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "normal"; readonly standardDeviation: number }
  | { readonly kind: "uniform"; readonly low: number; readonly high: number };

/** What a parameter is: a matrix or kernel, a bias, batch norm's scale or shift, a coefficient of a scheme's step. */
export type ParameterRole = "weight" | "bias" | "batch_norm" | "coefficient";

export interface ParameterOptions {
  readonly initializer: Initializer;
  /** Default `weight`. */
  readonly role?: ParameterRole;
}

/**
 * - `f32`: everything is 32-bit floats
 * - `mixed`: images, that is activations of [N, H, W, C] and their gradients, are stored as 16-bit floats; sums are f32,
 *   and so are matrices, statistics, parameters and their gradients
 */
export type Precision = "f32" | "mixed";

export interface GraphOptions {
  /** Whether batch norm uses the batch's statistics and updates the running ones. */
  readonly training: boolean;
  /** Default f32. */
  readonly precision?: Precision;
}

/** A parameter or a running statistic: what a checkpoint stores. */
export interface Variable {
  readonly tensor: Tensor;
  readonly initializer: Initializer;
}

export interface Parameter extends Variable {
  readonly role: ParameterRole;
}

/**
 * A recorded computation. Operations append themselves in execution order, so
 * the list is a topological order. Recording needs no GPU.
 */
export class Graph {
  readonly operations: Operation[] = [];
  readonly parameters: Parameter[] = [];
  readonly states: Variable[] = [];
  /** Buffers given from outside that are no tensors: pixel bytes, labels, the step's scalars. */
  readonly inputs: BufferHandle[] = [];
  readonly draws: Draw[] = [];
  readonly #variables = new Map<string, Tensor>();
  readonly #gates = new Map<Operation, Draw>();
  #drawBuffer: { readonly id: number; readonly label: string; bytes: number } | undefined;
  #gate: Draw | undefined;
  #reusing = false;
  #isRecomputing = false;
  #nextId = 0;

  constructor(readonly options: GraphOptions) {}

  /** How a tensor of this graph is stored. */
  elementOf({ shape }: Tensor): ElementType {
    return this.options.precision === "mixed" && shape.length === 4 ? "f16" : "f32";
  }

  /** A tensor that is filled from outside. Its buffer is its own and keeps its content. */
  source(name: string, shape: Shape, options: { needsGradient?: boolean } = {}): Tensor {
    return this.#tensor(name, shape, "source", options.needsGradient ?? false);
  }

  /** A buffer of bytes that is filled from outside. */
  input(label: string, bytes: number): BufferHandle {
    const handle = { id: this.#nextId++, label, bytes: Math.ceil(bytes / 16) * 16 };
    this.inputs.push(handle);
    return handle;
  }

  /** @throws {Error} when the name is taken and not being reused: names are the checkpoint's keys. */
  parameter(name: string, shape: Shape, options: ParameterOptions): Tensor {
    if (this.#reusing) return this.#recorded(name, shape);
    const tensor = this.#claim(name, shape, "parameter");
    this.parameters.push({ tensor, initializer: options.initializer, role: options.role ?? "weight" });
    return tensor;
  }

  /** @throws {Error} when the name is taken and not being reused. */
  state(name: string, shape: Shape, initializer: Initializer): Tensor {
    if (this.#reusing) return this.#recorded(name, shape);
    const tensor = this.#claim(name, shape, "state");
    this.states.push({ tensor, initializer });
    return tensor;
  }

  /**
   * Runs `record` so that the parameters and running statistics it asks for are those recorded before under these names:
   * how a function is applied again with the same weights.
   */
  reusing<T>(record: () => T): T {
    const outer = this.#reusing;
    this.#reusing = true;
    try {
      return record();
    } finally {
      this.#reusing = outer;
    }
  }

  /** As `reusing`, for what a backward pass computes again: it updates no running statistics a second time. */
  recomputing<T>(record: () => T): T {
    const outer = this.#isRecomputing;
    this.#isRecomputing = true;
    try {
      return this.reusing(record);
    } finally {
      this.#isRecomputing = outer;
    }
  }

  get isRecomputing(): boolean {
    return this.#isRecomputing;
  }

  /** A number for each step. */
  draw(name: string, { isBinary = false, sample }: Pick<Draw, "sample"> & Partial<Pick<Draw, "isBinary">>): Draw {
    const buffer = this.#drawBuffer ??= this.#createDrawBuffer();
    const draw = { name, buffer, offset: buffer.bytes, isBinary, sample };
    buffer.bytes += DRAW_ALIGNMENT;
    this.draws.push(draw);
    return draw;
  }

  /**
   * Runs `record` so that what it records, and its gradients, are computed in steps in which `gate` is not 0. In others
   * nothing of it is dispatched: its values are undefined, its running statistics stay, its parameters' gradients are 0.
   * Outside, sums alone may read its results, and leave them out in those steps. A gate within another must be 0
   * whenever that is. Without a gate, and outside of training, where nothing is left out, `record` is only run.
   */
  gated<T>(gate: Draw | undefined, record: () => T): T {
    const outer = this.#gate;
    if (gate && this.options.training) this.#gate = gate;
    try {
      return record();
    } finally {
      this.#gate = outer;
    }
  }

  /** The innermost one that is being recorded under. */
  get gate(): Draw | undefined {
    return this.#gate;
  }

  /** What an operation was recorded under. */
  gateOf(operation: Operation): Draw | undefined {
    return this.#gates.get(operation);
  }

  /** A result of an operation that is about to be recorded. */
  value(name: string, shape: Shape, needsGradient: boolean): Tensor {
    return this.#tensor(name, shape, "value", needsGradient);
  }

  record(operation: Operation): void {
    this.operations.push(operation);
    if (this.#gate) this.#gates.set(operation, this.#gate);
  }

  /** Trainable scalars. */
  get parameterCount(): number {
    return this.parameters.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
  }

  #tensor(name: string, shape: Shape, role: TensorRole, needsGradient: boolean): Tensor {
    const gate = role === "value" ? this.#gate : undefined;
    return { id: this.#nextId++, name, shape, role, needsGradient, gate };
  }

  /** It grows with each draw, until the graph is planned. */
  #createDrawBuffer() {
    const buffer = { id: this.#nextId++, label: "draws", bytes: 0 };
    this.inputs.push(buffer);
    return buffer;
  }

  #claim(name: string, shape: Shape, role: "parameter" | "state"): Tensor {
    if (this.#variables.has(name)) throw new Error(`Cannot record two parameters named "${name}"`);
    const tensor = this.#tensor(name, shape, role, role === "parameter");
    this.#variables.set(name, tensor);
    return tensor;
  }

  #recorded(name: string, shape: Shape): Tensor {
    const tensor = this.#variables.get(name);
    if (!tensor) throw new Error(`Cannot reuse "${name}": it has not been recorded`);
    if (!sameShape(tensor.shape, shape)) {
      throw new Error(`Cannot reuse "${name}" with shape ${formatShape(shape)}: it has ${formatShape(tensor.shape)}`);
    }
    return tensor;
  }
}
