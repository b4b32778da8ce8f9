import { conv2d, differentiate, Graph, linearCombination, type Precision } from "../../src/gpu/mod.ts";
import { assertClose, loadGolden } from "../support/golden.ts";
import { runGraph, testPrecisions } from "../support/graph_runner.ts";
import { assert } from "@std/assert";

const golden = await loadGolden("operations");

/** The largest relative error against double precision. */
const TOLERANCE: Readonly<Record<Precision, number>> = { f32: 1e-5, mixed: 1e-3 };

for (const precision of await testPrecisions()) {
  for (const software of [true, false]) {
    const form = software ? "barrier-free tiles" : "GPU tiles";
    Deno.test(`conv2d() and its gradients match PyTorch with ${form}, ${precision}`, async (t) => {
      for (const name of golden.cases("conv2d")) {
        await t.step(name, () => checkCase(name, { software, precision }));
      }
    });
  }
}

async function checkCase(
  name: string,
  { software, precision }: { software: boolean; precision: Precision },
): Promise<void> {
  const tolerance = TOLERANCE[precision];
  const { stride = 1, padding = 0, groups = 1 } = golden.options(name) as Record<string, number>;
  const input = golden.tensor(`${name}.input`);
  const weight = golden.tensor(`${name}.weight`);
  const [n, c, h, w] = input.shape;
  const graph = new Graph({ training: true, precision });
  const x = graph.source("x", [n, h, w, c], { needsGradient: true });
  const [outputChannels, , kernelHeight, kernelWidth] = weight.shape;
  const options = { outputChannels, kernel: [kernelHeight, kernelWidth] as const, stride, padding, groups };
  const y = conv2d(graph, x, { name: "conv", ...options });
  const cotangent = graph.source("dy", y.shape);
  const dInput = differentiate(graph, new Map([[y, cotangent]]), linearCombination).get(x);
  assert(dInput);
  const result = await runGraph(graph, {
    sources: new Map([[x, golden.nhwc(`${name}.input`).data], [cotangent, golden.nhwc(`${name}.dOutput`).data]]),
    parameters: new Map([["conv.weight", golden.data(`${name}.weight`)]]),
    keep: [y, dInput],
    software,
  });
  assertClose(result.values.get(y)!, golden.nhwc(`${name}.output`).data, { tolerance, what: "output" });
  assertClose(result.values.get(dInput)!, golden.nhwc(`${name}.dInput`).data, { tolerance, what: "dInput" });
  assertClose(result.gradients.get("conv.weight")!, golden.data(`${name}.dWeight`), { tolerance, what: "dWeight" });
}
