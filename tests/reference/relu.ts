/** max(0, x) in double precision. */
export function relu(input: ArrayLike<number>): Float64Array {
  return Float64Array.from(input, (x) => Math.max(0, x));
}

/** The gradient at 0 is 0, as PyTorch has it. */
export function reluBackward(input: ArrayLike<number>, dOutput: ArrayLike<number>): Float64Array {
  return Float64Array.from(dOutput, (d, i) => input[i] > 0 ? d : 0);
}
