/** Convolutions with what plans take into their kernels: normalise and ReLU before them, a scheme's step after. */
import { batchNorm, conv2d, differentiate, Graph, linearCombination, lmStep } from "../src/gpu/mod.ts";
import type { Conv2dProblem } from "../src/gpu/ops/conv2d_problem.ts";
import { batchNormTraining } from "../tests/reference/batch_norm.ts";
import { linearMultistep } from "../tests/reference/linear_combination.ts";
import { problemOf, type Shape } from "./conv2d_cases.ts";
import { sampledError, sizesOf } from "./conv2d_reference.ts";
import type { KernelCase, PreparedKernel } from "./kernels.ts";
import { type KernelHost, KernelRun } from "./kernel_run.ts";

/** ResNet-20. */
const SHAPES: readonly Shape[] = [
  { size: [32, 32], channels: [16, 16], kernel: 3 },
  { size: [16, 16], channels: [32, 32], kernel: 3 },
  { size: [8, 8], channels: [64, 64], kernel: 3 },
];

const TOLERANCE = 1e-4;

/** The time is the convolution's; where a plan does not take them together, what is left apart is not in it. */
export function fusedConv2dCases(batchSize: number): KernelCase[] {
  return SHAPES.map((shape) => problemOf(shape, batchSize)).flatMap((problem): KernelCase[] => {
    const { kernelHeight, kernelWidth, inputChannels, outputChannels, inputHeight, inputWidth, batch } = problem;
    const about =
      `${kernelHeight}x${kernelWidth} ${inputChannels}->${outputChannels} at ${inputHeight}x${inputWidth} ` +
      `batch ${batch}`;
    return [
      { name: `batch_norm relu, conv2d forward, lm_step ${about}`, prepare: (host) => prepareForward(host, problem) },
      { name: `batch_norm relu, conv2d backward_weight ${about}`, prepare: (host) => prepareWeight(host, problem) },
    ];
  });
}

async function prepareForward(host: KernelHost, problem: Conv2dProblem): Promise<PreparedKernel> {
  const { graph, x, f } = record(problem);
  const [u, previous] = ["u", "previous"].map((name) => graph.source(name, f.shape));
  const k = graph.parameter("k", [1], { initializer: { kind: "constant", value: 0.5 } });
  const next = lmStep(graph, "next", { u, previous, f, k });
  const run = await KernelRun.create(host, graph, [next]);
  const { inputs, outputs, weights, multiplyAdds } = sizesOf(problem);
  return {
    run,
    kind: "conv2d",
    // Reads x, u, the state before it and the weights, writes the next state.
    bytes: 4 * (inputs + 3 * outputs + weights),
    multiplyAdds,
    tolerance: TOLERANCE,
    async error() {
      run.step();
      const [current, before] = [run.source(u), run.source(previous)];
      const after = (increment: number, i: number) => {
        const terms = { current: [current[i]], previous: [before[i]], increment: [increment] };
        return linearMultistep({ ...terms, k: run.parameter("k")[0] })[0];
      };
      const operands = { x: normalised(run, run.source(x)), w: run.parameter("conv.weight"), dy: [] };
      return sampledError(await run.read(next), { problem, direction: "forward", operands, after });
    },
  };
}

async function prepareWeight(host: KernelHost, problem: Conv2dProblem): Promise<PreparedKernel> {
  const { graph, x, f } = record(problem);
  const dy = graph.source("dy", f.shape);
  differentiate(graph, new Map([[f, dy]]), linearCombination);
  const run = await KernelRun.create(host, graph, []);
  const { inputs, outputs, weights, multiplyAdds } = sizesOf(problem);
  return {
    run,
    kind: "conv2d_backward_weight",
    bytes: 4 * (inputs + outputs + weights),
    multiplyAdds,
    tolerance: TOLERANCE,
    async error() {
      run.step();
      const operands = { x: normalised(run, run.source(x)), w: [], dy: run.source(dy) };
      return sampledError(await run.readGradient("conv.weight"), { problem, direction: "backward_weight", operands });
    },
  };
}

/** conv(relu(norm(x))) */
function record(problem: Conv2dProblem) {
  const { batch, inputHeight, inputWidth, inputChannels, outputChannels, stride, padding, groups } = problem;
  const graph = new Graph({ training: true });
  const x = graph.source("x", [batch, inputHeight, inputWidth, inputChannels]);
  const kernel = [problem.kernelHeight, problem.kernelWidth] as const;
  const z = batchNorm(graph, x, { name: "bn", relu: true });
  const f = conv2d(graph, z, { name: "conv", outputChannels, kernel, stride, padding, groups });
  return { graph, x, f };
}

function normalised(run: KernelRun, x: ArrayLike<number>): Float64Array {
  const [gamma, beta] = [run.parameter("bn.weight"), run.parameter("bn.bias")];
  return batchNormTraining(x, { gamma, beta, epsilon: 1e-5, relu: true });
}
