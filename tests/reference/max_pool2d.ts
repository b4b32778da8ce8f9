/** The maximum over square windows of an NHWC image, in double precision. */

export interface MaxPoolShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

export function maxPool2d(shape: MaxPoolShape, input: ArrayLike<number>): Float64Array {
  return Float64Array.from(maxima(shape, input), (at) => input[at]);
}

/** Each gradient goes to the first maximum of its window. */
export function maxPool2dBackward(
  shape: MaxPoolShape,
  input: ArrayLike<number>,
  dOutput: ArrayLike<number>,
): Float64Array {
  const dInput = new Float64Array(input.length);
  maxima(shape, input).forEach((at, i) => dInput[at] += dOutput[i]);
  return dInput;
}

/** Where in the input each output lies. */
function maxima(shape: MaxPoolShape, input: ArrayLike<number>): number[] {
  const { batch, height, width, channels, kernel, stride, padding } = shape;
  const outputHeight = Math.floor((height + 2 * padding - kernel) / stride) + 1;
  const outputWidth = Math.floor((width + 2 * padding - kernel) / stride) + 1;
  return Array.from({ length: batch * outputHeight * outputWidth * channels }, (_, i) => {
    const c = i % channels;
    const ox = Math.floor(i / channels) % outputWidth;
    const oy = Math.floor(i / channels / outputWidth) % outputHeight;
    const n = Math.floor(i / channels / outputWidth / outputHeight);
    let largest = -1;
    for (let h = oy * stride - padding; h < oy * stride - padding + kernel; h++) {
      for (let w = ox * stride - padding; w < ox * stride - padding + kernel; w++) {
        if (h < 0 || w < 0 || h >= height || w >= width) continue;
        const at = ((n * height + h) * width + w) * channels + c;
        if (largest < 0 || input[at] > input[largest]) largest = at;
      }
    }
    return largest;
  });
}
