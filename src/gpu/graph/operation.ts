import type { PackedBuffers } from "./packing.ts";
import type { ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "./kernel.ts";
import type { Coefficient } from "./coefficient.ts";
import type { Condition } from "./draw.ts";
import type { Tensor } from "./tensor.ts";

/** One recorded operation. Recording has checked its shapes; from here on it only lowers and differentiates. */
export interface Operation {
  /** "conv2d", "batch_norm", ...: PyTorch's word where there is one. */
  readonly kind: string;
  /** Kind and sizes in words, for listings: "conv2d 3x3 stride 1". */
  readonly description: string;
  /** Activations it reads. */
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Parameters whose gradient this operation writes. */
  readonly parameterGradients?: readonly Tensor[];
  /** Whether it must run although nothing reads its outputs: it writes state. */
  readonly hasSideEffect?: boolean;
  /** Multiply-adds of a forward operation over the whole batch. */
  readonly multiplyAdds?: number;
  /** Pixels of zeros it needs around an input; default 0. */
  haloOf?(input: Tensor): number;
  /** One operation in place of `producer` and this one, which alone reads its output; undefined: they stay two. */
  fuse?(producer: Operation): Operation | undefined;
  /** Whether readers may compute its only output from its first input, value by value, instead of reading it. */
  readonly canBeReadThrough?: boolean;
  /** One operation that reads what `producer` reads, in place of this one, which reads its output; undefined: it cannot. */
  readThrough?(producer: Operation, target: Target): Operation | undefined;
  /** Its kernels leave the border of its outputs alone: it is zero already. */
  lower(memory: Lowering): Kernel[];
  /** Records the gradients of its inputs. Absent where nothing flows back. */
  backward?(gradients: Backward): void;
}

/** Where tensors lie, for lowering. */
export interface Lowering extends ScratchAllocator {
  readonly target: Target;
  image(tensor: Tensor): ImageBuffer;
  parameter(tensor: Tensor): ParameterRange;
  /** The gradient's place of a parameter. */
  gradient(parameter: Tensor): ParameterRange;
  state(tensor: Tensor): ParameterRange;
  /** Leaves these kernels out of other steps. */
  onlyWhen(condition: Condition, kernels: readonly Kernel[]): readonly Kernel[];
  /** All variables at once, for the optimiser. */
  readonly variables: PackedBuffers;
}

/** What an operation's `backward` works with. */
export interface Backward {
  /** The gradient of the loss by an output, as one tensor; undefined where nothing depends on it. */
  dOutput(output: Tensor): Tensor | undefined;
  /** Adds coefficient * contribution to the gradient of `input`; the sum is formed once, when it is needed. */
  accumulate(input: Tensor, contribution: Tensor, coefficient?: Coefficient): void;
  /** The gradient of a tensor as accumulated so far, and removes it: operations before this one get none of it. */
  take(tensor: Tensor): Tensor | undefined;
  /** Records the gradients of operations that were recorded in the backward pass, last to first. */
  walk(operations: readonly Operation[]): void;
  /** For tensors of the forward pass that were computed again: by what. */
  readonly recomputed: Map<Tensor, Tensor>;
}
