/** The mean over height and width, in double precision. */

/** Sizes of the input; the output is batch x channels. */
export interface PoolShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export function globalAveragePool(
  { batch, height, width, channels }: PoolShape,
  input: ArrayLike<number>,
): Float64Array {
  const pixels = height * width;
  const output = new Float64Array(batch * channels);
  for (let i = 0; i < input.length; i++) {
    const image = Math.floor(i / (pixels * channels));
    output[image * channels + i % channels] += input[i] / pixels;
  }
  return output;
}

/** Every pixel has an equal share in the mean. */
export function globalAveragePoolBackward(
  { batch, height, width, channels }: PoolShape,
  dOutput: ArrayLike<number>,
): Float64Array {
  const pixels = height * width;
  return Float64Array.from({ length: batch * pixels * channels }, (_, i) => {
    const image = Math.floor(i / (pixels * channels));
    return dOutput[image * channels + i % channels] / pixels;
  });
}
