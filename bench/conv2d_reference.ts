/**
 * Single results of a convolution and its gradients in double precision, straight from the definition, so that large
 * problems can be checked on a sample:
 *
 *   y[n, v, u, o] = sum over ky, kx, i of x[n, v s + ky - p, u s + kx - p, g I + i] w[o, i, ky, kx]
 *
 * with stride s, padding p, I input channels a group and g = the group of o. Images are NHWC without borders, weights OIHW.
 */
import type { Conv2dProblem } from "../src/gpu/ops/conv2d_problem.ts";
import { generator } from "./measure.ts";

const SAMPLE = 400;

export type Direction = "forward" | "backward_input" | "backward_weight";

/** What a direction reads: forward x and w, backward_input dy and w, backward_weight x and dy. */
export interface Operands {
  readonly x: ArrayLike<number>;
  readonly w: ArrayLike<number>;
  readonly dy: ArrayLike<number>;
}

/** The extents of a direction's result: NHWC, or OIHW. */
export function resultShape(p: Conv2dProblem, direction: Direction): readonly [number, number, number, number] {
  switch (direction) {
    case "forward":
      return [p.batch, p.outputHeight, p.outputWidth, p.outputChannels];
    case "backward_input":
      return [p.batch, p.inputHeight, p.inputWidth, p.inputChannels];
    case "backward_weight":
      return [p.outputChannels, p.inputChannels / p.groups, p.kernelHeight, p.kernelWidth];
  }
}

/** The result at one place of `resultShape()`. */
export function resultAt(
  p: Conv2dProblem,
  direction: Direction,
  { operands, place }: { readonly operands: Operands; readonly place: readonly number[] },
): number {
  const compute = { forward: outputAt, backward_input: inputGradientAt, backward_weight: weightGradientAt }[direction];
  return compute(p, operands, place);
}

function outputAt(p: Conv2dProblem, { x, w }: Operands, [n, v, u, o]: readonly number[]): number {
  const group = Math.floor(o * p.groups / p.outputChannels);
  let sum = 0;
  for (let ky = 0; ky < p.kernelHeight; ky++) {
    for (let kx = 0; kx < p.kernelWidth; kx++) {
      const pixel = inputPixel(p, [n, v * p.stride + ky - p.padding, u * p.stride + kx - p.padding]);
      if (pixel === undefined) continue;
      for (let i = 0; i < p.inputChannels / p.groups; i++) {
        sum += x[pixel + group * p.inputChannels / p.groups + i] * w[weightIndex(p, o, i, ky, kx)];
      }
    }
  }
  return sum;
}

function inputGradientAt(p: Conv2dProblem, { dy, w }: Operands, [n, y, x, c]: readonly number[]): number {
  const [inputs, outputs] = [p.inputChannels / p.groups, p.outputChannels / p.groups];
  const group = Math.floor(c / inputs);
  let sum = 0;
  for (let ky = 0; ky < p.kernelHeight; ky++) {
    for (let kx = 0; kx < p.kernelWidth; kx++) {
      const [v, u] = [(y + p.padding - ky) / p.stride, (x + p.padding - kx) / p.stride];
      if (!isIndex(v, p.outputHeight) || !isIndex(u, p.outputWidth)) continue;
      const pixel = ((n * p.outputHeight + v) * p.outputWidth + u) * p.outputChannels;
      for (let o = group * outputs; o < (group + 1) * outputs; o++) {
        sum += dy[pixel + o] * w[weightIndex(p, o, c % inputs, ky, kx)];
      }
    }
  }
  return sum;
}

function weightGradientAt(p: Conv2dProblem, { x, dy }: Operands, [o, i, ky, kx]: readonly number[]): number {
  const channel = Math.floor(o * p.groups / p.outputChannels) * p.inputChannels / p.groups + i;
  let sum = 0;
  for (let n = 0; n < p.batch; n++) {
    for (let v = 0; v < p.outputHeight; v++) {
      for (let u = 0; u < p.outputWidth; u++) {
        const pixel = inputPixel(p, [n, v * p.stride + ky - p.padding, u * p.stride + kx - p.padding]);
        if (pixel === undefined) continue;
        sum += x[pixel + channel] * dy[((n * p.outputHeight + v) * p.outputWidth + u) * p.outputChannels + o];
      }
    }
  }
  return sum;
}

/** Where a pixel's channels start; undefined in the padding. */
function inputPixel(p: Conv2dProblem, [n, y, x]: readonly [number, number, number]): number | undefined {
  if (!isIndex(y, p.inputHeight) || !isIndex(x, p.inputWidth)) return undefined;
  return ((n * p.inputHeight + y) * p.inputWidth + x) * p.inputChannels;
}

function isIndex(value: number, extent: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < extent;
}

function weightIndex(p: Conv2dProblem, o: number, i: number, ky: number, kx: number): number {
  return ((o * p.inputChannels / p.groups + i) * p.kernelHeight + ky) * p.kernelWidth + kx;
}

/** Scalars of a convolution's images and weights, and the multiply-adds of any of its directions. */
export function sizesOf(p: Conv2dProblem) {
  const outputs = p.batch * p.outputHeight * p.outputWidth * p.outputChannels;
  const products = p.kernelHeight * p.kernelWidth * p.inputChannels / p.groups;
  return {
    inputs: p.batch * p.inputHeight * p.inputWidth * p.inputChannels,
    outputs,
    weights: p.outputChannels * products,
    multiplyAdds: outputs * products,
  };
}

/**
 * ‖actual − expected‖ / ‖expected‖ at random places and at the edges; Infinity where any element is not finite.
 * @param about.after What becomes of the convolution's result at an index of `actual`; default: nothing.
 */
export function sampledError(
  actual: Float32Array,
  about: {
    readonly problem: Conv2dProblem;
    readonly direction: Direction;
    readonly operands: Operands;
    readonly after?: (value: number, index: number) => number;
  },
): number {
  const { problem, direction, operands, after = (value) => value } = about;
  if (!actual.every(Number.isFinite)) return Infinity;
  const shape = resultShape(problem, direction);
  const next = generator(7);
  // A weight's gradient sums over the whole batch.
  const sample = direction === "backward_weight" ? SAMPLE / 4 : SAMPLE;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < sample; i++) {
    const place = shape.map((extent) => {
      const edge = next() >>> 30;
      return edge === 0 ? 0 : edge === 1 ? extent - 1 : (next() >>> 8) % extent;
    });
    const index = place.reduce((flat, position, axis) => flat * shape[axis] + position, 0);
    const expected = after(resultAt(problem, direction, { operands, place }), index);
    difference += (actual[index] - expected) ** 2;
    norm += expected ** 2;
  }
  return Math.sqrt(difference / norm);
}
