/** The sums of a network's steps, in double precision. */

/** u_n + f(u_n); both gradients are the output's. */
export function residualAdd(current: ArrayLike<number>, increment: ArrayLike<number>): Float64Array {
  return Float64Array.from(current, (u, i) => u + increment[i]);
}

export interface MultistepTerms {
  /** u_n */
  readonly current: ArrayLike<number>;
  /** u_{n-1} */
  readonly previous: ArrayLike<number>;
  /** f(u_n) */
  readonly increment: ArrayLike<number>;
  readonly k: number;
}

/** u_{n+1} = (1 - k) u_n + k u_{n-1} + f(u_n) (Lu et al. 2018). */
export function linearMultistep({ current, previous, increment, k }: MultistepTerms): Float64Array {
  return Float64Array.from(current, (u, i) => (1 - k) * u + k * previous[i] + increment[i]);
}

/** The gradient of f(u_n) is the output's. */
export function linearMultistepBackward(
  { current, previous, k }: MultistepTerms,
  dOutput: ArrayLike<number>,
): { dCurrent: Float64Array; dPrevious: Float64Array; dIncrement: Float64Array; dK: number } {
  let dK = 0;
  for (let i = 0; i < dOutput.length; i++) dK += dOutput[i] * (previous[i] - current[i]);
  return {
    dCurrent: Float64Array.from(dOutput, (d) => (1 - k) * d),
    dPrevious: Float64Array.from(dOutput, (d) => k * d),
    dIncrement: Float64Array.from(dOutput),
    dK,
  };
}
