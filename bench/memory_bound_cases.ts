/** Kernels whose time goes into moving bytes: batch norm, the multi-step step, the optimiser. */
import {
  batchNorm,
  decayScales,
  differentiate,
  elementCount,
  encodeStep,
  Graph,
  linearCombination,
  lmStep,
  sgd,
  type Shape,
  STEP_BYTES,
} from "../src/gpu/mod.ts";
import { batchNormTraining, batchNormTrainingBackward } from "../tests/reference/batch_norm.ts";
import { linearMultistep } from "../tests/reference/linear_combination.ts";
import type { KernelCase, PreparedKernel } from "./kernels.ts";
import { type KernelHost, KernelRun } from "./kernel_run.ts";

/** Scalars that the optimiser updates: 16 MiB. */
const OPTIMISED = 2 ** 22;
const TOLERANCE = 1e-4;

export function memoryBoundCases(batch: number): KernelCase[] {
  const shapes: Shape[] = [[batch, 32, 32, 16], [batch, 8, 8, 512]];
  return [
    ...shapes.flatMap((shape): KernelCase[] => {
      const at = `${shape[3]} at ${shape[1]}x${shape[2]} batch ${batch}`;
      return [
        { name: `batch_norm relu forward ${at}`, prepare: (host) => prepareBatchNorm(host, shape) },
        { name: `batch_norm relu backward ${at}`, prepare: (host) => prepareBatchNormBackward(host, shape) },
        { name: `lm_step ${at}`, prepare: (host) => prepareMultistep(host, shape) },
      ];
    }),
    { name: `sgd ${OPTIMISED} parameters`, prepare: prepareSgd },
  ];
}

async function prepareBatchNorm(host: KernelHost, shape: Shape): Promise<PreparedKernel> {
  const graph = new Graph({ training: true });
  const x = graph.source("x", shape);
  const y = batchNorm(graph, x, { name: "bn", relu: true });
  const run = await KernelRun.create(host, graph, [y]);
  return {
    run,
    bytes: 2 * 4 * elementCount(shape),
    tolerance: TOLERANCE,
    async error() {
      run.step();
      return relativeError(await run.read(y), batchNormTraining(run.source(x), parametersOf(run)));
    },
  };
}

async function prepareBatchNormBackward(host: KernelHost, shape: Shape): Promise<PreparedKernel> {
  const graph = new Graph({ training: true });
  const x = graph.source("x", shape, { needsGradient: true });
  const y = batchNorm(graph, x, { name: "bn", relu: true });
  const dy = graph.source("dy", shape);
  const dx = differentiate(graph, new Map([[y, dy]]), linearCombination).get(x);
  if (!dx) throw new Error("Cannot differentiate batch norm");
  const run = await KernelRun.create(host, graph, [dx]);
  return {
    run,
    kind: "batch_norm_backward",
    bytes: 3 * 4 * elementCount(shape),
    tolerance: TOLERANCE,
    async error() {
      run.step();
      const expected = batchNormTrainingBackward(run.source(x), parametersOf(run), run.source(dy));
      return Math.max(
        relativeError(await run.read(dx), expected.dInput),
        relativeError(await run.readGradient("bn.weight"), expected.dGamma),
        relativeError(await run.readGradient("bn.bias"), expected.dBeta),
      );
    },
  };
}

async function prepareMultistep(host: KernelHost, shape: Shape): Promise<PreparedKernel> {
  const graph = new Graph({ training: true });
  const [u, previous, f] = ["u", "previous", "f"].map((name) => graph.source(name, shape));
  const k = graph.parameter("k", [1], { initializer: { kind: "constant", value: 0.5 } });
  const next = lmStep(graph, "next", { u, previous, f, k });
  const run = await KernelRun.create(host, graph, [next]);
  return {
    run,
    bytes: 4 * 4 * elementCount(shape),
    tolerance: TOLERANCE,
    async error() {
      run.step();
      const terms = { current: run.source(u), previous: run.source(previous), increment: run.source(f) };
      return relativeError(await run.read(next), linearMultistep({ ...terms, k: run.parameter("k")[0] }));
    },
  };
}

async function prepareSgd(host: KernelHost): Promise<PreparedKernel> {
  const [learningRate, momentum, weightDecay] = [0.1, 0.9, 1e-4];
  const graph = new Graph({ training: true });
  graph.parameter("w", [OPTIMISED], { initializer: { kind: "constant", value: 0 } });
  const step = graph.input("step", STEP_BYTES);
  const scales = sgd(graph, { momentum, weightDecay, step });
  const run = await KernelRun.create(host, graph, []);
  run.writeInput(step, encodeStep({ learningRate, seed: 1, epoch: 0 }));
  run.writeInput(scales, decayScales(graph));
  return {
    run,
    // Reads parameters, gradients and momentum, writes parameters and momentum.
    bytes: 5 * 4 * OPTIMISED,
    tolerance: TOLERANCE,
    async error() {
      const { gradients, velocities } = run.fillOptimizer();
      run.step();
      const expected = Float64Array.from(run.parameter("w"), (w, i) => {
        return w - learningRate * (momentum * velocities[i] + gradients[i] + weightDecay * w);
      });
      return relativeError(await run.readParameter("w"), expected);
    },
  };
}

function parametersOf(run: KernelRun) {
  return { gamma: run.parameter("bn.weight"), beta: run.parameter("bn.bias"), epsilon: 1e-5, relu: true };
}

/** ‖actual − expected‖ / ‖expected‖; Infinity where an element is not finite. */
function relativeError(actual: ArrayLike<number>, expected: Float64Array): number {
  let [difference, norm] = [0, 0];
  expected.forEach((value, i) => {
    difference += (actual[i] - value) ** 2;
    norm += value ** 2;
  });
  return Number.isFinite(difference) ? Math.sqrt(difference / norm) : Infinity;
}
