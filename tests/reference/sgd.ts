/** A step of stochastic gradient descent as PyTorch has it, in double precision. */

export interface SgdOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Default false. */
  readonly nesterov?: boolean;
}

export interface SgdState {
  readonly parameter: Float64Array;
  /** 0 before the first step. */
  readonly velocity: Float64Array;
}

/** g' = g + weightDecay w;  v' = momentum v + g';  w' = w - learningRate v', with Nesterov's w - learningRate (g' + momentum v') */
export function sgdStep(
  { parameter, velocity }: SgdState,
  gradient: ArrayLike<number>,
  { learningRate, momentum, weightDecay, nesterov = false }: SgdOptions,
): SgdState {
  const decayed = parameter.map((w, i) => gradient[i] + weightDecay * w);
  const nextVelocity = velocity.map((v, i) => momentum * v + decayed[i]);
  const update = nesterov ? decayed.map((g, i) => g + momentum * nextVelocity[i]) : nextVelocity;
  return { parameter: parameter.map((w, i) => w - learningRate * update[i]), velocity: nextVelocity };
}
