/**
 * Softmax, and its cross-entropy against labels with smoothing s (Szegedy et al. 2016), mixed or not:
 *
 *   target = (1 - s) ((1 - share) onehot(label) + share onehot(partner's)) + s / classes;  loss = -sum target log softmax(z)
 *   dz = (softmax(z) - target) / N, N the rows that count
 */
import { wgsl } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { BufferHandle, Kernel } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import { formatShape, type Tensor } from "../graph/tensor.ts";
import { STEP_BYTES } from "./step.ts";

/** A label that makes a row not count. */
export const IGNORED_LABEL = 0xffffffff;

export interface CrossEntropy {
  /** Of the mean loss by the logits: [N, classes]; where differentiation starts. */
  readonly dLogits: Tensor;
  /**
   * [N, 4]: loss, rank of the true class (0 is the best, -1 a row that does not count), predicted class, 0. Of mixed rows
   * the true class is that of the larger share, of equal ones the row's own.
   */
  readonly results: Tensor;
}

export interface CrossEntropyOptions {
  readonly labels: BufferHandle;
  /** Default 0. */
  readonly labelSmoothing?: number;
  /** The step, whose share each row's label gets of its partner's (see mixup.ts); all rows count. Undefined: no mixup. */
  readonly mixup?: BufferHandle;
}

/**
 * Cross-entropy of [N, classes] logits against N `u32` labels.
 * @throws {ShapeError} when logits are no matrix or the smoothing is out of [0, 1).
 */
export function softmaxCrossEntropy(graph: Graph, logits: Tensor, options: CrossEntropyOptions): CrossEntropy {
  const { labelSmoothing = 0 } = options;
  requireMatrix(logits);
  if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
    throw new ShapeError("softmax_cross_entropy", `label smoothing must be from 0 to below 1, got ${labelSmoothing}`);
  }
  const dLogits = graph.value(`d(${logits.name})`, logits.shape, false);
  const results = graph.value("results", [logits.shape[0], 4], false);
  graph.record(new SoftmaxCrossEntropy({ logits, dLogits, results }, options));
  return { dLogits, results };
}

/**
 * Probabilities of [N, classes] logits. Not differentiable: training uses the cross-entropy.
 * @throws {ShapeError} when logits are no matrix.
 */
export function softmax(graph: Graph, name: string, logits: Tensor): Tensor {
  requireMatrix(logits);
  const probabilities = graph.value(name, logits.shape, false);
  graph.record(new Softmax(logits, probabilities));
  return probabilities;
}

function requireMatrix(logits: Tensor): void {
  if (logits.shape.length !== 2) {
    throw new ShapeError("softmax", `the logits must be [N, classes], got ${formatShape(logits.shape)}`);
  }
}

class SoftmaxCrossEntropy implements Operation {
  readonly kind = "softmax_cross_entropy";
  readonly description = "softmax_cross_entropy";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(
    readonly tensors: { readonly logits: Tensor; readonly dLogits: Tensor; readonly results: Tensor },
    readonly options: CrossEntropyOptions,
  ) {
    this.inputs = [tensors.logits];
    this.outputs = [tensors.dLogits, tensors.results];
  }

  lower(memory: Lowering): Kernel[] {
    const { logits, dLogits, results } = this.tensors;
    const { labels, labelSmoothing = 0, mixup } = this.options;
    const [batch, classes] = logits.shape;
    return [{
      label: this.kind,
      code: wgsl.softmaxCrossEntropy,
      constants: { BATCH: batch, CLASSES: classes, SMOOTHING: labelSmoothing, MIXUP: mixup ? 1 : 0 },
      bindings: [
        { buffer: memory.image(logits).buffer, access: "read" },
        { buffer: labels, access: "read" },
        { buffer: memory.image(dLogits).buffer, access: "read_write" },
        { buffer: memory.image(results).buffer, access: "read_write" },
        // Something has to be bound, although nothing of it is read then.
        { buffer: mixup ?? memory.scratch("no step", STEP_BYTES), access: "uniform" },
      ],
      workgroups: [Math.ceil(batch / 16), 1, 1],
    }];
  }
}

class Softmax implements Operation {
  readonly kind = "softmax";
  readonly description = "softmax";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(logits: Tensor, probabilities: Tensor) {
    this.inputs = [logits];
    this.outputs = [probabilities];
  }

  lower(memory: Lowering): Kernel[] {
    const [logits, probabilities] = [this.inputs[0], this.outputs[0]];
    const [batch, classes] = logits.shape;
    return [{
      label: this.kind,
      code: wgsl.softmax,
      constants: { BATCH: batch, CLASSES: classes },
      bindings: [
        { buffer: memory.image(logits).buffer, access: "read" },
        { buffer: memory.image(probabilities).buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(batch / 16), 1, 1],
    }];
  }
}
