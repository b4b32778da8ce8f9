/**
 * Batch normalisation in double precision. Images are NHWC, so the channel of element i is i modulo the channels;
 * n is the number of elements a channel has.
 *
 *   xhat = (x - mean) / sqrt(variance + epsilon);  y = gamma xhat + beta, or max(0, that)
 */

export interface BatchNormParameters {
  /** One value a channel; so are all vectors here. */
  readonly gamma: ArrayLike<number>;
  readonly beta: ArrayLike<number>;
  readonly epsilon: number;
  /** Whether a ReLU follows. */
  readonly relu: boolean;
}

export interface ChannelStatistics {
  readonly mean: Float64Array;
  /** Biased: divided by n. */
  readonly variance: Float64Array;
}

export function channelStatistics(input: ArrayLike<number>, channels: number): ChannelStatistics {
  const count = input.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (let i = 0; i < input.length; i++) mean[i % channels] += input[i] / count;
  for (let i = 0; i < input.length; i++) variance[i % channels] += (input[i] - mean[i % channels]) ** 2 / count;
  return { mean, variance };
}

/** Normalises by statistics given: the running ones in inference. */
export function batchNormInference(
  input: ArrayLike<number>,
  statistics: { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> },
  { gamma, beta, epsilon, relu }: BatchNormParameters,
): Float64Array {
  const { mean, variance } = statistics;
  return Float64Array.from(input, (x, i) => {
    const c = i % gamma.length;
    const y = gamma[c] * (x - mean[c]) / Math.sqrt(variance[c] + epsilon) + beta[c];
    return relu ? Math.max(0, y) : y;
  });
}

/** Normalises by the batch's own statistics. */
export function batchNormTraining(input: ArrayLike<number>, parameters: BatchNormParameters): Float64Array {
  return batchNormInference(input, channelStatistics(input, parameters.gamma.length), parameters);
}

/**
 * The running statistics after a training step, with PyTorch's momentum: the weight of the new value. The running
 * variance takes the unbiased one.
 */
export function updateRunningStatistics(
  input: ArrayLike<number>,
  running: { readonly mean: ArrayLike<number>; readonly variance: ArrayLike<number> },
  momentum: number,
): ChannelStatistics {
  const channels = running.mean.length;
  const count = input.length / channels;
  const batch = channelStatistics(input, channels);
  return {
    mean: batch.mean.map((mean, c) => (1 - momentum) * running.mean[c] + momentum * mean),
    variance: batch.variance.map((variance, c) =>
      (1 - momentum) * running.variance[c] + momentum * variance * count / (count - 1)
    ),
  };
}

/**
 * With dy the gradient of the output, 0 where a ReLU cut it off:
 *
 *   dBeta = sum dy;  dGamma = sum dy xhat
 *   dInput = gamma / sqrt(variance + epsilon) (dy - dBeta / n - xhat dGamma / n)
 */
export function batchNormTrainingBackward(
  input: ArrayLike<number>,
  parameters: BatchNormParameters,
  dOutput: ArrayLike<number>,
): { dInput: Float64Array; dGamma: Float64Array; dBeta: Float64Array } {
  const { gamma, epsilon, relu } = parameters;
  const channels = gamma.length;
  const count = input.length / channels;
  const { mean, variance } = channelStatistics(input, channels);
  const output = batchNormTraining(input, parameters);
  const normalised = Float64Array.from(
    input,
    (x, i) => (x - mean[i % channels]) / Math.sqrt(variance[i % channels] + epsilon),
  );
  const dy = Float64Array.from(dOutput, (d, i) => relu && output[i] <= 0 ? 0 : d);
  const dGamma = new Float64Array(channels);
  const dBeta = new Float64Array(channels);
  for (let i = 0; i < dy.length; i++) {
    dGamma[i % channels] += dy[i] * normalised[i];
    dBeta[i % channels] += dy[i];
  }
  const dInput = dy.map((d, i) => {
    const c = i % channels;
    const centred = d - dBeta[c] / count - normalised[i] * dGamma[c] / count;
    return gamma[c] / Math.sqrt(variance[c] + epsilon) * centred;
  });
  return { dInput, dGamma, dBeta };
}
