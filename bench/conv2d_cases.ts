/** Convolutions to measure, and how a result is checked. */
import { conv2d, differentiate, Graph, linearCombination, type Precision, type Tensor } from "../src/gpu/mod.ts";
import type { Conv2dProblem } from "../src/gpu/ops/conv2d_problem.ts";
import { type Direction, sampledError, sizesOf } from "./conv2d_reference.ts";
import type { KernelCase, PreparedKernel } from "./kernels.ts";
import { keepOnly, type KernelHost, KernelRun } from "./kernel_run.ts";

/** A convolution whose padding keeps the size, but for the stride. */
export interface Shape {
  readonly size: readonly [height: number, width: number];
  readonly channels: readonly [input: number, output: number];
  readonly kernel: number;
  readonly stride?: number;
  readonly groups?: number;
  /** Default: what is asked for. */
  readonly batch?: number;
  /** Default: all three. */
  readonly directions?: readonly Direction[];
  /** Default f32. */
  readonly precision?: Precision;
}

const DIRECTIONS: readonly Direction[] = ["forward", "backward_input", "backward_weight"];

const SHAPES: readonly Shape[] = [
  // ResNet-20.
  { size: [32, 32], channels: [3, 16], kernel: 3, directions: ["forward", "backward_weight"] },
  { size: [32, 32], channels: [16, 16], kernel: 3 },
  { size: [32, 32], channels: [16, 32], kernel: 3, stride: 2 },
  { size: [16, 16], channels: [32, 32], kernel: 3 },
  { size: [16, 16], channels: [32, 64], kernel: 3, stride: 2 },
  { size: [8, 8], channels: [64, 64], kernel: 3 },
  // Bottlenecks.
  { size: [16, 16], channels: [64, 256], kernel: 1 },
  // ResNeXt-29 8x64d at its last stage but one, and 32x4d.
  { size: [8, 8], channels: [512, 512], kernel: 3, groups: 8 },
  { size: [16, 16], channels: [128, 128], kernel: 3, groups: 32 },
  // The stem of networks for 224 pixels; nothing asks for the gradient of the pixels.
  { size: [224, 224], channels: [3, 64], kernel: 7, stride: 2, batch: 4, directions: ["forward", "backward_weight"] },
  // Images of f16.
  { size: [32, 32], channels: [16, 16], kernel: 3, precision: "mixed" },
  { size: [8, 8], channels: [64, 64], kernel: 3, precision: "mixed" },
  // Nothing divides anything.
  { size: [7, 5], channels: [24, 40], kernel: 3 },
];

/** ‖result − reference‖ / ‖reference‖ over the sample, by how images are stored: of f16 they are rounded before. */
const TOLERANCE = { f32: 1e-4, mixed: 2e-3 } as const;

/** Every shape in every direction it is used in. */
export function conv2dCases(batchSize: number): KernelCase[] {
  return SHAPES.flatMap((shape) =>
    (shape.directions ?? DIRECTIONS).map((direction) => {
      const problem = problemOf(shape, batchSize);
      const { precision = "f32" } = shape;
      return {
        name: nameOf(problem, direction) + (precision === "f32" ? "" : " f16"),
        needs: precision === "f32" ? undefined : "shader-f16",
        prepare: (host) => prepare(host, problem, { direction, precision }),
      };
    })
  );
}

export function problemOf(shape: Shape, batchSize: number): Conv2dProblem {
  const { size: [inputHeight, inputWidth], channels, kernel, stride = 1, groups = 1, batch = batchSize } = shape;
  const padding = (kernel - 1) / 2;
  const extent = (input: number) => Math.floor((input + 2 * padding - kernel) / stride) + 1;
  return {
    batch,
    inputHeight,
    inputWidth,
    inputChannels: channels[0],
    outputHeight: extent(inputHeight),
    outputWidth: extent(inputWidth),
    outputChannels: channels[1],
    kernelHeight: kernel,
    kernelWidth: kernel,
    stride,
    padding,
    groups,
  };
}

function nameOf(p: Conv2dProblem, direction: Direction): string {
  return `conv2d ${direction} ${p.kernelHeight}x${p.kernelWidth} ${p.inputChannels}->${p.outputChannels} ` +
    `stride ${p.stride} groups ${p.groups} at ${p.inputHeight}x${p.inputWidth} batch ${p.batch}`;
}

async function prepare(
  host: KernelHost,
  problem: Conv2dProblem,
  { direction, precision }: { readonly direction: Direction; readonly precision: Precision },
): Promise<PreparedKernel> {
  const { graph, x, dy, result } = record(problem, direction, precision);
  const run = await KernelRun.create(host, graph, result ? [result] : []);
  const { inputs, outputs, weights, multiplyAdds } = sizesOf(problem);
  return {
    run,
    // Each of the three is read or written at least once, whatever the direction.
    bytes: (precision === "mixed" ? 2 : 4) * (inputs + outputs) + 4 * weights,
    multiplyAdds,
    tolerance: TOLERANCE[precision],
    async error() {
      run.step();
      const actual = result ? await run.read(result) : await run.readGradient("conv.weight");
      const operands = { x: run.source(x), dy: run.source(dy), w: run.parameter("conv.weight") };
      return sampledError(actual, { problem, direction, operands });
    },
  };
}

/** The graph of one direction alone, and its result where that is no parameter's gradient. */
function record(problem: Conv2dProblem, direction: Direction, precision: Precision) {
  const { batch, inputHeight, inputWidth, inputChannels, outputChannels, stride, padding, groups } = problem;
  const graph = new Graph({ training: true, precision });
  const x = graph.source("x", [batch, inputHeight, inputWidth, inputChannels], { needsGradient: true });
  const kernel = [problem.kernelHeight, problem.kernelWidth] as const;
  const y = conv2d(graph, x, { name: "conv", outputChannels, kernel, stride, padding, groups });
  const dy = graph.source("dy", y.shape);
  const dx = differentiate(graph, new Map([[y, dy]]), linearCombination).get(x);
  keepOnly(graph, direction === "forward" ? "conv2d" : `conv2d_${direction}`);
  const results: Record<Direction, Tensor | undefined> = { forward: y, backward_input: dx, backward_weight: undefined };
  return { graph, x, dy, result: results[direction] };
}
