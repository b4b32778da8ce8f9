/** A step of stochastic gradient descent as PyTorch has it, in double precision. */

export interface SgdOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

export interface SgdState {
  readonly parameter: Float64Array;
  /** 0 before the first step. */
  readonly velocity: Float64Array;
}

/** v' = momentum v + (g + weightDecay w);  w' = w - learningRate v' */
export function sgdStep(
  { parameter, velocity }: SgdState,
  gradient: ArrayLike<number>,
  { learningRate, momentum, weightDecay }: SgdOptions,
): SgdState {
  const nextVelocity = velocity.map((v, i) => momentum * v + gradient[i] + weightDecay * parameter[i]);
  return { parameter: parameter.map((w, i) => w - learningRate * nextVelocity[i]), velocity: nextVelocity };
}
