/** output = input weight^T + bias, in double precision. */

export interface LinearShape {
  readonly batch: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** input: batch x inputs; weight: outputs x inputs; bias: outputs. */
export interface LinearOperands {
  readonly input: ArrayLike<number>;
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
}

/** batch x outputs. */
export function linear({ batch, inputs, outputs }: LinearShape, { input, weight, bias }: LinearOperands): Float64Array {
  const output = new Float64Array(batch * outputs);
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias[o];
      for (let i = 0; i < inputs; i++) sum += input[n * inputs + i] * weight[o * inputs + i];
      output[n * outputs + o] = sum;
    }
  }
  return output;
}

export function linearBackward(
  { batch, inputs, outputs }: LinearShape,
  { input, weight }: LinearOperands,
  dOutput: ArrayLike<number>,
): { dInput: Float64Array; dWeight: Float64Array; dBias: Float64Array } {
  const dInput = new Float64Array(batch * inputs);
  const dWeight = new Float64Array(outputs * inputs);
  const dBias = new Float64Array(outputs);
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outputs; o++) {
      const d = dOutput[n * outputs + o];
      dBias[o] += d;
      for (let i = 0; i < inputs; i++) {
        dInput[n * inputs + i] += d * weight[o * inputs + i];
        dWeight[o * inputs + i] += d * input[n * inputs + i];
      }
    }
  }
  return { dInput, dWeight, dBias };
}
