/** Tuning on the real device, of graphs small enough to compile every candidate. */
import {
  batchNorm,
  conv2d,
  differentiate,
  Graph,
  linearCombination,
  planGraph,
  type PlanOptions,
  type Precision,
  type Tensor,
  Tuner,
} from "../../../src/gpu/mod.ts";
import type { Candidate, Question } from "../../../src/gpu/graph/kernel.ts";
import { assertClose } from "../../support/golden.ts";
import { runGraph, testDevice, testPrecisions } from "../../support/graph_runner.ts";
import { assert, assertEquals } from "@std/assert";

interface Recorded {
  readonly graph: Graph;
  readonly x: Tensor;
  readonly dy: Tensor;
  readonly keep: readonly Tensor[];
}

/** A convolution with stride and its gradients. */
function recordConvolution(precision: Precision = "f32"): Recorded {
  const graph = new Graph({ training: true, precision });
  const x = graph.source("x", [2, 9, 8, 4], { needsGradient: true });
  const y = conv2d(graph, x, { name: "conv", outputChannels: 4, kernel: 3, stride: 2, padding: 1 });
  const dy = graph.source("dy", y.shape);
  const dx = differentiate(graph, new Map([[y, dy]]), linearCombination).get(x);
  assert(dx);
  return { graph, x, dy, keep: [y, dx] };
}

async function run(
  choose: PlanOptions["choose"],
  { precision = "f32", software }: { readonly precision?: Precision; readonly software?: boolean } = {},
): Promise<Float32Array[]> {
  const { graph, x, dy, keep } = recordConvolution(precision);
  const result = await runGraph(graph, {
    sources: new Map([[x, wave(x.shape)], [dy, wave(dy.shape)]]),
    parameters: new Map([["conv.weight", wave([4, 4, 3, 3])]]),
    keep,
    software,
    choose,
  });
  const [y, dx] = keep.map((tensor) => result.values.get(tensor)!);
  return [y, dx, result.gradients.get("conv.weight")!];
}

function wave(shape: readonly number[]): Float32Array {
  return Float32Array.from({ length: shape.reduce((size, extent) => size * extent, 1) }, (_, i) => Math.sin(i * 0.7));
}

async function withTuner(run: (open: () => Promise<Tuner>, warnings: string[]) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "multistep-tuner-" });
  const warnings: string[] = [];
  const device = await testDevice();
  try {
    await run(
      () => Tuner.open(device, { folder, version: "0", warn: (message) => warnings.push(message) }),
      warnings,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("tune() finds candidates that give the same numbers, once", async () => {
  await withTuner(async (open, warnings) => {
    const { target } = await testDevice();
    const { graph, keep } = recordConvolution();
    const graphs = [{ graph, options: { target, keep } }];
    const tuner = await open();
    const progress = await Array.fromAsync(tuner.tune(graphs));
    const total = progress[0].total;
    assert(total > 4, `${total} candidates are no choice`);
    assertEquals(progress.map(({ done }) => done), Array.from({ length: total + 1 }, (_, i) => i));
    assertEquals(warnings, []);
    const plain = await run(undefined);
    const tuned = await run(tuner.choose);
    tuned.forEach((values, i) => assertClose(values, plain[i], { tolerance: 1e-4, what: `result ${i}` }));
    assertEquals(await run(tuner.choose), tuned, "the same choices gave other bits");

    assertEquals(await Array.fromAsync((await open()).tune(graphs)), [], "a second start measures again");
    const again = recordConvolution();
    const same = [{ graph: again.graph, options: { target, keep: again.keep } }];
    assertEquals(
      await Array.fromAsync(tuner.tune(same)),
      [],
      "the same convolutions in another graph are measured again",
    );
  });
});

const hasHalf = (await testPrecisions()).includes("mixed");

Deno.test({ name: "tune() compares f16 images as such", ignore: !hasHalf }, async () => {
  const { target } = await testDevice();
  await withTuner(async (open, warnings) => {
    const tuner = await open();
    const { graph, keep } = recordConvolution("mixed");
    for await (const _tried of tuner.tune([{ graph, options: { target, keep } }]));
    assertEquals(warnings, []);
    const plain = await run(undefined, { precision: "mixed" });
    const tuned = await run(tuner.choose, { precision: "mixed" });
    tuned.forEach((values, i) => assertClose(values, plain[i], { tolerance: 2e-2, what: `result ${i}` }));
    const asked: Record<string, boolean> = {};
    await run((question) => {
      asked[question.key] = question.key.includes(" f16");
      return tuner.choose(question);
    }, { precision: "mixed" });
    assertEquals(Object.values(asked), Object.values(asked).map(() => true), "keys do not tell f16");
  });
});

for (const software of [true, false]) {
  const planned = software ? "software" : "a GPU";
  Deno.test(`every candidate gives the same numbers, planned for ${planned}`, async () => {
    const asked = new Map<string, Question>();
    const plain = await run((question) => {
      asked.set(question.key, question);
      return question.candidates[0];
    }, { software });
    for (const { key, candidates } of asked.values()) {
      assertEquals(new Set(candidates.map(({ name }) => name)).size, candidates.length, `${key}: names are not unique`);
    }
    const most = Math.max(...[...asked.values()].map(({ candidates }) => candidates.length));
    for (let i = 1; i < most; i++) {
      const results = await run(({ candidates }) => candidates[Math.min(i, candidates.length - 1)], { software });
      results.forEach((values, part) => assertClose(values, plain[part], { tolerance: 1e-5, what: `result ${part}` }));
    }
  });
}

Deno.test("tune() drops a candidate that writes something else and one that does not compile", async () => {
  await withTuner(async (open, warnings) => {
    const tuner = await open();
    const { target } = await testDevice();
    const { graph, keep } = recordConvolution();
    const sabotaged = graph.operations[0];
    const lower = sabotaged.lower.bind(sabotaged);
    sabotaged.lower = (memory) =>
      lower({
        target: memory.target,
        variables: memory.variables,
        image: (tensor) => memory.image(tensor),
        parameter: (tensor) => memory.parameter(tensor),
        gradient: (tensor) => memory.gradient(tensor),
        state: (tensor) => memory.state(tensor),
        scratch: (label, bytes) => memory.scratch(label, bytes),
        packed: (label, bytes) => memory.packed(label, bytes),
        onlyWhen: (condition, kernels) => memory.onlyWhen(condition, kernels),
        choose: (key, [first]) => {
          const altered = (name: string, alter: (code: string) => string): Candidate => ({
            name,
            lower: (own) => first.lower(own).map((kernel) => ({ ...kernel, code: alter(kernel.code) })),
          });
          // A loop that ends early; a name that is not there.
          const wrong = altered("wrong", (code) => code.replace(/\b(step|row) < \d+u/, "$1 < 1u"));
          return memory.choose(key, [first, wrong, altered("broken", (code) => `${code}\nfn f() { absent(); }`)]);
        },
      });
    for await (const _tried of tuner.tune([{ graph, options: { target, keep } }]));
    assertEquals(warnings.length, 2, warnings.join("\n"));
    assert(/Cannot use the kernels "wrong" for training conv2d 3x3 .*: its result is off by/.test(warnings[0]));
    assert(/Cannot use the kernels "broken" for training conv2d 3x3 .*: Cannot build the kernel/.test(warnings[1]));
    await runGraph(recordConvolution().graph, {
      keep: [],
      parameters: new Map([["conv.weight", wave([4, 4, 3, 3])]]),
    });
  });
});

Deno.test("tune() counts what trials take in the memory budget, and gives it back", async () => {
  const { target, memoryBudget } = await testDevice();
  if (memoryBudget === undefined) return;
  const device = await testDevice();
  const measured = async (leave: number) => {
    let warned: string[] = [];
    await withTuner(async (open, warnings) => {
      const { graph, keep } = recordConvolution();
      const tuner = await open();
      using _others = device.claim(memoryBudget - leave);
      for await (const _tried of tuner.tune([{ graph, options: { target, keep } }]));
      warned = warnings;
    });
    device.requireRoom("Everything", memoryBudget);
    return warned;
  };
  assertEquals(await measured(2 ** 24), []);
  const [warning] = await measured(1024);
  assert(/Cannot use the kernels .*: A trial of kernels needs/.test(warning), warning);
});

Deno.test("questions have stable keys that name all that decides the kernels", async () => {
  const { target } = await testDevice();
  const graph = new Graph({ training: false });
  const x = graph.source("x", [4, 8, 8, 16]);
  const y = batchNorm(graph, conv2d(graph, x, { name: "conv", outputChannels: 16, kernel: 3, padding: 1 }), {
    name: "norm",
    relu: true,
  });
  assertEquals(keysOf(graph, { target, keep: [y] }), [
    "inference conv2d 3x3 8x8x16+1 -> 8x8x16+0, batch 4, groups 1, step 1, " +
    "rows 8 from 0 by 1 taps -1 0 1 at 0 by 1, columns 8 from 0 by 1 taps -1 0 1 at 0 by 1, " +
    "then var<uniform> folded: array<vec4<f32>, 8>; v0 = folded[c]; v1 = folded[4u + c]; " +
    "max(fma(value, v0, v1), vec4<f32>())",
  ]);
  const recorded = recordConvolution();
  const keys = keysOf(recorded.graph, { target, keep: recorded.keep });
  const again = recordConvolution();
  assertEquals(keysOf(again.graph, { target, keep: again.keep }), keys);
  // One for each phase of the stride.
  const kinds = keys.map((key) => key.split(" ").slice(0, 3).join(" "));
  const gradient = "training conv2d_backward_input 3x3";
  const phases = [gradient, gradient, gradient, gradient];
  assertEquals(kinds, ["training conv2d 3x3", "training conv2d_backward_weight 3x3", ...phases]);
  assertEquals(new Set(keys).size, keys.length);
});

function keysOf(graph: Graph, options: Omit<PlanOptions, "choose">): string[] {
  const keys: string[] = [];
  planGraph(graph, {
    ...options,
    choose: ({ key, candidates }) => {
      keys.push(key);
      return candidates[0];
    },
  });
  return keys;
}
