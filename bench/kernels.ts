/** GFLOP/s of the convolution kernels, shape by shape: a multiply-add counts as two operations. */
import { Execution, GpuDevice, Graph, type Operation, planGraph, Variables } from "../src/gpu/mod.ts";
import {
  conv2dHalos,
  type Conv2dProblem,
  lowerConv2d,
  lowerConv2dBackwardInput,
  lowerConv2dBackwardWeight,
} from "../src/gpu/ops/conv2d_lowering.ts";
import type { Lowering } from "../src/gpu/graph/operation.ts";
import type { Tensor } from "../src/gpu/graph/tensor.ts";
import { type Measurement, summarise } from "./measure.ts";

export interface KernelBenchOptions {
  readonly batchSize: number;
  readonly runs: number;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
}

/** Dispatches of one kernel list timed together, so that submitting costs nothing beside them. */
const REPETITIONS = 8;

type Direction = "forward" | "backward_input" | "backward_weight";

const SHAPES: readonly {
  size: number;
  channels: readonly [number, number];
  kernel: number;
  stride: number;
  groups: number;
}[] = [
  { size: 32, channels: [3, 16], kernel: 3, stride: 1, groups: 1 },
  { size: 32, channels: [16, 16], kernel: 3, stride: 1, groups: 1 },
  { size: 32, channels: [16, 32], kernel: 3, stride: 2, groups: 1 },
  { size: 16, channels: [32, 32], kernel: 3, stride: 1, groups: 1 },
  { size: 16, channels: [32, 64], kernel: 3, stride: 2, groups: 1 },
  { size: 8, channels: [64, 64], kernel: 3, stride: 1, groups: 1 },
  { size: 16, channels: [64, 256], kernel: 1, stride: 1, groups: 1 },
  { size: 8, channels: [512, 512], kernel: 3, stride: 1, groups: 8 },
  { size: 16, channels: [128, 128], kernel: 3, stride: 1, groups: 32 },
];

/** Measures every shape in every direction. Correctness is the tests' business: the same lowering is checked there. */
export async function* benchKernels(options: KernelBenchOptions): AsyncGenerator<Measurement> {
  const device = await GpuDevice.open();
  try {
    for (const { size, channels: [inputChannels, outputChannels], kernel, stride, groups } of SHAPES) {
      const problem: Conv2dProblem = {
        batch: options.batchSize,
        inputHeight: size,
        inputWidth: size,
        inputChannels,
        outputHeight: size / stride,
        outputWidth: size / stride,
        outputChannels,
        kernelHeight: kernel,
        kernelWidth: kernel,
        stride,
        padding: (kernel - 1) / 2,
        groups,
      };
      for (const direction of ["forward", "backward_input", "backward_weight"] as const) {
        const name = `conv2d ${direction} ${kernel}x${kernel} ${inputChannels}->${outputChannels} stride ${stride} ` +
          `groups ${groups} at ${size}x${size} batch ${options.batchSize}`;
        if (options.signal.aborted) return;
        if (options.matches(name)) yield await measure(device, { problem, direction, name, runs: options.runs });
      }
    }
  } finally {
    device.destroy();
  }
}

async function measure(
  device: GpuDevice,
  { problem, direction, name, runs }: { problem: Conv2dProblem; direction: Direction; name: string; runs: number },
): Promise<Measurement> {
  const graph = new Graph({ training: true });
  const { batch, inputChannels, outputChannels, kernelHeight, kernelWidth, groups } = problem;
  const x = graph.source("x", [batch, problem.inputHeight, problem.inputWidth, inputChannels]);
  const y = graph.source("y", [batch, problem.outputHeight, problem.outputWidth, outputChannels]);
  const weight = graph.parameter("weight", [outputChannels, inputChannels / groups, kernelHeight, kernelWidth], {
    initializer: { kind: "constant", value: 0 },
  });
  for (let i = 0; i < REPETITIONS; i++) graph.record(new Lowered(problem, direction, { x, y, weight }));
  const plan = planGraph(graph, { target: device.target });
  const variables = new Variables(device, plan);
  const execution = await Execution.create(device, plan, { variables, repack: false });
  try {
    const samples: number[] = [];
    for (let run = -2; run < runs; run++) {
      const encoder = device.handle.createCommandEncoder();
      execution.encode(encoder);
      const started = performance.now();
      device.handle.queue.submit([encoder.finish()]);
      await device.handle.queue.onSubmittedWorkDone();
      // Deno lets the promise sleep for 10 ms after the device is done.
      const milliseconds = Math.max(1e-3, performance.now() - started - 10) / REPETITIONS;
      if (run >= 0) samples.push(operations(problem) / milliseconds / 1e6);
    }
    device.check();
    return summarise(samples, {
      benchmark: "kernels",
      case: name,
      unit: "GFLOP/s",
      adapter: device.adapter.description,
    });
  } finally {
    execution.destroy();
    variables.destroy();
  }
}

function operations(p: Conv2dProblem): number {
  const outputs = p.batch * p.outputHeight * p.outputWidth * p.outputChannels;
  return 2 * outputs * p.kernelHeight * p.kernelWidth * p.inputChannels / p.groups;
}

/** The kernels of one direction alone, reading and writing the same two images. */
class Lowered implements Operation {
  readonly kind = "bench";
  readonly description = "bench";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs = [];
  readonly hasSideEffect = true;

  constructor(
    readonly problem: Conv2dProblem,
    readonly direction: Direction,
    readonly tensors: { readonly x: Tensor; readonly y: Tensor; readonly weight: Tensor },
  ) {
    this.inputs = [tensors.x, tensors.y];
    this.parameters = [tensors.weight];
  }

  haloOf(input: Tensor): number {
    const halos = conv2dHalos(this.problem);
    return input === this.tensors.x ? halos.input : halos.dOutput;
  }

  lower(memory: Lowering) {
    const { problem, direction } = this;
    const x = memory.image(this.tensors.x);
    const y = memory.image(this.tensors.y);
    const weight = memory.parameter(this.tensors.weight);
    switch (direction) {
      case "forward":
        return lowerConv2d(problem, { input: x, weight, output: y }, memory.target, memory);
      case "backward_input":
        return lowerConv2dBackwardInput(problem, { dOutput: y, weight, dInput: x }, memory.target, memory);
      case "backward_weight": {
        const dWeight = memory.gradient(this.tensors.weight);
        return lowerConv2dBackwardWeight(problem, { input: x, dOutput: y, dWeight }, memory.target, memory);
      }
    }
  }
}
