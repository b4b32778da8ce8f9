/** Parameters that several operations use. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  batchNorm,
  conv2d,
  differentiate,
  Graph,
  linearCombination,
  planGraph,
  type Tensor,
} from "../../src/gpu/mod.ts";
import { assertClose } from "../support/golden.ts";
import { runGraph, type RunOutputs, testDevice } from "../support/graph_runner.ts";

const CHANNELS = 6;
const shape = [2, 4, 4, CHANNELS];

function values(count: number, seed: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i));
}

function f(graph: Graph, name: string, u: Tensor): Tensor {
  const normalised = batchNorm(graph, u, { name: `${name}.bn`, relu: true });
  return conv2d(graph, normalised, { name: `${name}.conv`, outputChannels: CHANNELS, kernel: 3, padding: 1 });
}

interface Applied {
  readonly graph: Graph;
  readonly u: Tensor;
  readonly cotangent: Tensor;
}

/** f applied three times in a row, by weights of one name or of three, and its gradients. */
function apply(names: readonly string[]): Applied {
  const graph = new Graph({ training: true });
  const u = graph.source("u", shape, { needsGradient: true });
  const recorded = new Set<string>();
  const output = names.reduce((value, name) => {
    if (recorded.has(name)) return graph.reusing(() => f(graph, name, value));
    recorded.add(name);
    return f(graph, name, value);
  }, u);
  const cotangent = graph.source("cotangent", shape);
  differentiate(graph, new Map([[output, cotangent]]), linearCombination);
  return { graph, u, cotangent };
}

function run(names: readonly string[]): Promise<RunOutputs> {
  const { graph, u, cotangent } = apply(names);
  const perName = (suffix: string, data: Float64Array) => names.map((name) => [`${name}.${suffix}`, data] as const);
  return runGraph(graph, {
    sources: new Map([[u, values(2 * 16 * CHANNELS, 1)], [cotangent, values(2 * 16 * CHANNELS, 2)]]),
    parameters: new Map([
      ...perName("conv.weight", values(CHANNELS * CHANNELS * 9, 3).map((value) => 0.2 * value)),
      ...perName("bn.weight", values(CHANNELS, 4).map((value) => 1 + 0.2 * value)),
      ...perName("bn.bias", values(CHANNELS, 5)),
    ]),
    states: new Map([
      ...perName("bn.running_mean", new Float64Array(CHANNELS)),
      ...perName("bn.running_var", new Float64Array(CHANNELS).fill(1)),
    ]),
    keep: [],
  });
}

Deno.test("differentiate() sums the gradients of a parameter over its uses, with the same bits every time", async () => {
  const shared = await run(["f", "f", "f"]);
  const separate = await run(["f", "g", "h"]);
  for (const suffix of ["conv.weight", "bn.weight", "bn.bias"]) {
    const parts = ["f", "g", "h"].map((name) => separate.gradients.get(`${name}.${suffix}`)!);
    const expected = parts[0].map((value, i) => value + parts[1][i] + parts[2][i]);
    const gradient = shared.gradients.get(`f.${suffix}`)!;
    assertClose(gradient, expected, { tolerance: 1e-6, what: suffix });
    // So it is not one of them alone.
    for (const part of parts) assert(part.some((value, i) => Math.abs(value - gradient[i]) > 1e-2));
  }
  const again = await run(["f", "f", "f"]);
  assertEquals(again.gradients, shared.gradients);
});

Deno.test("planGraph() adds kernels for the later uses of a parameter, and none where each is used once", async () => {
  const { target } = await testDevice();
  const sums = (names: readonly string[]) =>
    planGraph(apply(names).graph, { target }).kernels.filter(({ label }) => label === "add_gradient").length;
  // Two later uses of a weight, a gamma and a beta.
  assertEquals([sums(["f", "f", "f"]), sums(["f", "g", "h"])], [6, 0]);
});

Deno.test("batchNorm() moves its running statistics at every use", async () => {
  const shared = (await run(["f", "f", "f"])).states.get("f.bn.running_mean")!;
  const separate = (await run(["f", "g", "h"])).states;
  const [first, second, third] = ["f", "g", "h"].map((name) => separate.get(`${name}.bn.running_mean`)!);
  // Each moves a tenth of the way to its batch's mean, from 0.
  assertClose(shared, first.map((value, i) => 0.81 * value + 0.9 * second[i] + third[i]), {
    tolerance: 1e-6,
    what: "running mean",
  });
});

Deno.test("Graph.reusing() gives recorded parameters alone, of their shape", () => {
  const graph = new Graph({ training: true });
  const options = { initializer: { kind: "constant", value: 0 } } as const;
  const parameter = graph.parameter("w", [2, 3], options);
  assertEquals(graph.reusing(() => graph.parameter("w", [2, 3], options)), parameter);
  const cases = [
    [() => graph.parameter("v", [2, 3], options), 'Cannot reuse "v": it has not been recorded'],
    [() => graph.parameter("w", [3, 2], options), 'Cannot reuse "w" with shape [3, 2]: it has [2, 3]'],
  ] as const;
  for (const [record, message] of cases) {
    assertEquals(assertThrows(() => graph.reusing(record), Error).message, message);
  }
  assertEquals(
    assertThrows(() => graph.parameter("w", [2, 3], options), Error).message,
    'Cannot record two parameters named "w"',
  );
  assertEquals(graph.parameterCount, 6);
});
