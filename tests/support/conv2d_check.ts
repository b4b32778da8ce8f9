/** A convolution and its gradients on the GPU against the double-precision reference. */
import { conv2d, differentiate, Graph, linearCombination, type Precision } from "../../src/gpu/mod.ts";
import type { Candidate, Question } from "../../src/gpu/graph/kernel.ts";
import {
  conv2d as reference,
  conv2dBackwardInput,
  conv2dBackwardWeight,
  type Conv2dShape,
} from "../reference/conv2d.ts";
import { assertClose } from "./golden.ts";
import { runGraph } from "./graph_runner.ts";
import { assert } from "@std/assert";

export interface Conv2dCase {
  readonly input: readonly [batch: number, height: number, width: number, channels: number];
  readonly outputChannels: number;
  readonly kernel: readonly [number, number];
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}

/**
 * @param options.form Of the candidates' names how those begin that are taken where they are offered; default: the first.
 * @returns The names of the candidates that were taken.
 */
export async function checkConv2d(
  { input, outputChannels, kernel, stride = 1, padding = 0, groups = 1 }: Conv2dCase,
  { precision, form }: { readonly precision: Precision; readonly form?: string },
): Promise<readonly string[]> {
  const [batch, inputHeight, inputWidth, inputChannels] = input;
  const [kernelHeight, kernelWidth] = kernel;
  const extent = (size: number, taps: number) => Math.floor((size + 2 * padding - taps) / stride) + 1;
  const shape: Conv2dShape = {
    batch,
    inputHeight,
    inputWidth,
    inputChannels,
    outputHeight: extent(inputHeight, kernelHeight),
    outputWidth: extent(inputWidth, kernelWidth),
    outputChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
    groups,
  };
  const graph = new Graph({ training: true, precision });
  const x = graph.source("x", [...input], { needsGradient: true });
  const y = conv2d(graph, x, { name: "conv", outputChannels, kernel, stride, padding, groups });
  const cotangent = graph.source("dy", y.shape);
  const dInput = differentiate(graph, new Map([[y, cotangent]]), linearCombination).get(x);
  assert(dInput);
  const values = randomValues(x.shape);
  const dOutput = randomValues(y.shape);
  const weight = randomValues([outputChannels, inputChannels / groups, kernelHeight, kernelWidth]);
  const taken: string[] = [];
  const choose = ({ candidates }: Question): Candidate => {
    const chosen = candidates.find(({ name }) => name.startsWith(form ?? "")) ?? candidates[0];
    taken.push(chosen.name);
    return chosen;
  };
  const result = await runGraph(graph, {
    sources: new Map([[x, values], [cotangent, dOutput]]),
    parameters: new Map([["conv.weight", weight]]),
    keep: [y, dInput],
    choose,
  });
  const tolerance = precision === "f32" ? 1e-5 : 1e-3;
  assertClose(result.values.get(y)!, reference(shape, values, weight), { tolerance, what: "output" });
  assertClose(result.values.get(dInput)!, conv2dBackwardInput(shape, dOutput, weight), { tolerance, what: "dInput" });
  const dWeight = conv2dBackwardWeight(shape, values, dOutput);
  assertClose(result.gradients.get("conv.weight")!, dWeight, { tolerance, what: "dWeight" });
  return taken;
}

/** Values in [-1/2, 1/2), the same for the same shape. */
export function randomValues(shape: readonly number[]): Float32Array {
  let state = 1 + shape.reduce((sum, size, i) => sum + size * (i + 7), 0);
  return Float32Array.from({ length: shape.reduce((size, extent) => size * extent, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}
