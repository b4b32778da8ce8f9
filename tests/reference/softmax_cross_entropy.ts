/**
 * Softmax and its cross-entropy against smoothed labels, in double precision:
 *
 *   target = (1 - s) onehot(label) + s / classes;  loss = -sum target log softmax(logits)
 *
 * An example whose label is negative has no loss and no gradient.
 */

export interface CrossEntropyOptions {
  readonly classes: number;
  /** s, in [0, 1). */
  readonly labelSmoothing: number;
}

/** Of one row of logits; subtracts the largest first, so that no exponential overflows. */
export function logSoftmax(logits: ArrayLike<number>): Float64Array {
  const row = Float64Array.from(logits);
  const largest = Math.max(...row);
  const logSum = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  return row.map((logit) => logit - logSum);
}

/**
 * logits: examples x classes.
 * @returns `losses` of the examples; `loss`, their mean over the examples that count, 0 if none does; and dLogits, the
 * gradient of that mean.
 */
export function softmaxCrossEntropy(
  logits: ArrayLike<number>,
  labels: ArrayLike<number>,
  { classes, labelSmoothing }: CrossEntropyOptions,
): { losses: Float64Array; loss: number; dLogits: Float64Array } {
  const counted = Array.from(labels).filter((label) => label >= 0).length;
  const losses = new Float64Array(labels.length);
  const dLogits = new Float64Array(logits.length);
  for (let n = 0; n < labels.length; n++) {
    if (labels[n] < 0) continue;
    const logProbabilities = logSoftmax(Array.from({ length: classes }, (_, c) => logits[n * classes + c]));
    logProbabilities.forEach((logProbability, c) => {
      const target = (c === labels[n] ? 1 - labelSmoothing : 0) + labelSmoothing / classes;
      losses[n] -= target * logProbability;
      dLogits[n * classes + c] = (Math.exp(logProbability) - target) / counted;
    });
  }
  const sum = losses.reduce((total, loss) => total + loss, 0);
  return { losses, loss: counted === 0 ? 0 : sum / counted, dLogits };
}
