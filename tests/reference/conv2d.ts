/**
 * 2-D convolution in double precision, straight from its definition:
 *
 *   output[n, y, x, o] = sum over ky, kx, i of input[n, y * stride + ky - padding, x * stride + kx - padding, g, i] * weight[o, i, ky, kx]
 *
 * where g = the group of o, and positions outside the input count as zero. Images are NHWC, weights are
 * outputChannels x inputChannels/groups x kernelHeight x kernelWidth (OIHW).
 */

/** Logical sizes, as `Conv2dProblem` has them. */
export interface Conv2dShape {
  readonly batch: number;
  readonly inputHeight: number;
  readonly inputWidth: number;
  readonly inputChannels: number;
  readonly outputHeight: number;
  readonly outputWidth: number;
  readonly outputChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

/** Calls `visit` with the flat indices of every product in the sum: an input, a weight and the output they go to. */
function forEachProduct(shape: Conv2dShape, visit: (input: number, weight: number, output: number) => void): void {
  const inputsPerGroup = shape.inputChannels / shape.groups;
  const outputsPerGroup = shape.outputChannels / shape.groups;
  const taps = shape.kernelHeight * shape.kernelWidth;
  for (let n = 0; n < shape.batch; n++) {
    for (let y = 0; y < shape.outputHeight; y++) {
      for (let x = 0; x < shape.outputWidth; x++) {
        const outputPixel = (n * shape.outputHeight + y) * shape.outputWidth + x;
        for (let ky = 0; ky < shape.kernelHeight; ky++) {
          const inputY = y * shape.stride + ky - shape.padding;
          if (inputY < 0 || inputY >= shape.inputHeight) continue;
          for (let kx = 0; kx < shape.kernelWidth; kx++) {
            const inputX = x * shape.stride + kx - shape.padding;
            if (inputX < 0 || inputX >= shape.inputWidth) continue;
            const inputPixel = (n * shape.inputHeight + inputY) * shape.inputWidth + inputX;
            const tap = ky * shape.kernelWidth + kx;
            for (let o = 0; o < shape.outputChannels; o++) {
              const firstInput = Math.floor(o / outputsPerGroup) * inputsPerGroup;
              for (let i = 0; i < inputsPerGroup; i++) {
                visit(
                  inputPixel * shape.inputChannels + firstInput + i,
                  (o * inputsPerGroup + i) * taps + tap,
                  outputPixel * shape.outputChannels + o,
                );
              }
            }
          }
        }
      }
    }
  }
}

export function conv2d(shape: Conv2dShape, input: ArrayLike<number>, weight: ArrayLike<number>): Float64Array {
  const output = new Float64Array(shape.batch * shape.outputHeight * shape.outputWidth * shape.outputChannels);
  forEachProduct(shape, (i, w, o) => output[o] += input[i] * weight[w]);
  return output;
}

/** The gradient of a loss in the input, given its gradient in the output. */
export function conv2dBackwardInput(
  shape: Conv2dShape,
  dOutput: ArrayLike<number>,
  weight: ArrayLike<number>,
): Float64Array {
  const dInput = new Float64Array(shape.batch * shape.inputHeight * shape.inputWidth * shape.inputChannels);
  forEachProduct(shape, (i, w, o) => dInput[i] += dOutput[o] * weight[w]);
  return dInput;
}

/** The gradient of a loss in the weight, given its gradient in the output. */
export function conv2dBackwardWeight(
  shape: Conv2dShape,
  input: ArrayLike<number>,
  dOutput: ArrayLike<number>,
): Float64Array {
  const taps = shape.kernelHeight * shape.kernelWidth;
  const dWeight = new Float64Array(shape.outputChannels * (shape.inputChannels / shape.groups) * taps);
  forEachProduct(shape, (i, w, o) => dWeight[w] += input[i] * dOutput[o]);
  return dWeight;
}
