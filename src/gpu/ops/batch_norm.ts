/**
 * Batch normalisation over N, H and W (Ioffe and Szegedy 2015), with an optional ReLU on its output.
 *
 *   xhat = (x - mean) / sqrt(variance + eps);  y = gamma xhat + beta
 *
 * Gradients, with n = N H W and dy masked by the ReLU:
 *   dbeta = sum dy;  dgamma = sum dy xhat
 *   dx = gamma / sqrt(variance + eps) * (dy - dbeta / n - xhat dgamma / n)
 * Training uses the batch's variance (biased) and updates the running statistics (unbiased), as PyTorch does.
 */
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import { formatShape, type Tensor } from "../graph/tensor.ts";
import { BatchNormInference } from "./batch_norm_inference.ts";
import { BatchNormStatistics, BatchNormTraining } from "./batch_norm_training.ts";

const MOMENTUM = 0.1;

export interface BatchNormOptions {
  /** Adds `.weight`, `.bias`, `.running_mean` and `.running_var` for its four vectors. */
  readonly name: string;
  /** Whether to return max(y, 0). */
  readonly relu?: boolean;
}

/**
 * Normalises x of [N, H, W, C]; records parameters and running statistics of [C].
 * @throws {ShapeError} when x is no image.
 */
export function batchNorm(graph: Graph, x: Tensor, options: BatchNormOptions): Tensor {
  if (x.shape.length !== 4) {
    throw new ShapeError("batch_norm", `the input must be [N, H, W, C], got ${formatShape(x.shape)}`);
  }
  const { name, relu = false } = options;
  const channels = [x.shape[3]];
  const vectors = {
    gamma: graph.parameter(`${name}.weight`, channels, {
      initializer: { kind: "constant", value: 1 },
      role: "batch_norm",
    }),
    beta: graph.parameter(`${name}.bias`, channels, {
      initializer: { kind: "constant", value: 0 },
      role: "batch_norm",
    }),
    runningMean: graph.state(`${name}.running_mean`, channels, { kind: "constant", value: 0 }),
    runningVariance: graph.state(`${name}.running_var`, channels, { kind: "constant", value: 1 }),
  };
  const y = graph.value(name, x.shape, true);
  if (graph.options.training) {
    // Rows: mean, 1 / sqrt(variance + eps), scale, shift.
    const statistics = graph.value(`${name}.statistics`, [4, x.shape[3]], false);
    graph.record(new BatchNormStatistics(x, statistics, vectors, graph.isRecomputing ? 0 : MOMENTUM));
    graph.record(new BatchNormTraining(graph, { x, statistics, y }, vectors, relu));
  } else {
    graph.record(new BatchNormInference(x, y, vectors, relu));
  }
  return y;
}
