/** One step of every scheme over every kind of block, on the GPU, against PyTorch: tests/golden/blocks.py has the layout. */
import { assert, assertEquals } from "@std/assert";
import { differentiate, elementCount, Graph, linearCombination, relu, type Tensor } from "../../src/gpu/mod.ts";
import { basicBlock } from "../../src/models/blocks/basic.ts";
import type { BlockFactory } from "../../src/models/blocks/block.ts";
import { bottleneckBlock } from "../../src/models/blocks/bottleneck.ts";
import { type SchemeName, schemeNames, type Shortcut, type Transition } from "../../src/models/mod.ts";
import { makeScheme } from "../../src/models/schemes/registry.ts";
import { assertClose, loadGolden, nchwToNhwc } from "../support/golden.ts";
import { runGraph } from "../support/graph_runner.ts";

/** As blocks.py has it: a gradient that is 0 but for rounding. */
const VANISHING = 1e-9;
const [BATCH, HEIGHT, WIDTH] = [2, 4, 3];

/** As tests/golden/blocks.py describes a case. */
interface BlockCase {
  readonly scheme: SchemeName;
  readonly block: "basic" | "bottleneck";
  readonly activation: "pre" | "post";
  readonly groups: number;
  readonly inner: number;
  readonly shortcut: Shortcut | null;
  readonly transition: Transition;
  readonly perChannel: boolean;
  readonly first: boolean;
  readonly inputs: number;
  readonly outputs: number;
  readonly stride: number;
  readonly usesPrevious: boolean;
  readonly seed: number;
}

/** The generator of blocks.py: NHWC images of what it draws as NCHW. */
class Generator {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  draw(count: number, { scale = 1, offset = 0 } = {}): Float32Array {
    return Float32Array.from({ length: count }, () => {
      this.#state = (Math.imul(1664525, this.#state) + 1013904223) >>> 0;
      return offset + scale * (this.#state / 2 ** 31 - 1);
    });
  }

  image(shape: readonly number[]): Float64Array {
    return nhwcOf(shape, Float64Array.from(this.draw(elementCount(shape), { scale: 2 })));
  }

  variable({ name, shape }: Tensor): Float32Array {
    const count = elementCount(shape);
    if (shape.length === 4) return this.draw(count, { scale: Math.sqrt(6 / (shape[0] * shape[2] * shape[3])) });
    const ranges = {
      weight: { scale: 0.2, offset: 1 },
      bias: {},
      running_mean: { scale: 0.1 },
      running_var: { scale: 0.5, offset: 1 },
      k: { scale: 0.5 },
    };
    const suffix = name.slice(name.lastIndexOf(".") + 1) as keyof typeof ranges;
    return this.draw(count, ranges[suffix]);
  }
}

/** @param shape NHWC, of data in the order of NCHW. */
function nhwcOf([n, h, w, c]: readonly number[], data: Float64Array): Float64Array {
  return nchwToNhwc({ shape: [n, c, h, w], data }).data;
}

function blockOf(test: BlockCase): BlockFactory {
  const { activation, groups, inner: innerChannels } = test;
  const style = { activation, shortcut: test.shortcut ?? undefined };
  return (graph, options) =>
    test.block === "basic"
      ? basicBlock(graph, { ...options, ...style })
      : bottleneckBlock(graph, { ...options, ...style, innerChannels, groups });
}

const byName = (a: { tensor: Tensor }, b: { tensor: Tensor }) => a.tensor.name < b.tensor.name ? -1 : 1;

/** What a case's vector has, one after the other. */
interface Expected {
  readonly what: string;
  /** NHWC of images. */
  readonly shape: readonly number[];
  readonly isImage: boolean;
  actual(results: Awaited<ReturnType<typeof runGraph>>): Float32Array | undefined;
}

/** The step of a case recorded with its gradients, and the inputs that blocks.py draws for it. */
function record(graph: Graph, name: string, test: BlockCase) {
  const scheme = makeScheme(test.scheme, {
    transition: test.transition,
    perChannelCoefficients: test.perChannel,
    columns: 2,
  });
  const image = [BATCH, HEIGHT, WIDTH, test.scheme === "reversible" ? test.inputs / 2 : test.inputs];
  const u = graph.source(`${name} u`, image, { needsGradient: true });
  // Where the case uses none, it is there all the same, so that using it would show.
  const previous = graph.source(`${name} previous`, image, { needsGradient: test.usesPrevious });
  const { inputs: inputChannels, outputs: outputChannels, stride } = test;
  const block = blockOf(test)(graph, { name, inputChannels, outputChannels, stride });
  const state = scheme.step(graph, block, { u, history: test.first ? [] : [previous] });
  const next = test.activation === "post" ? relu(graph, `${name}.relu`, state.u) : state.u;
  const outputs = [next, ...state.history];
  const cotangents = outputs.map(({ shape }, i) => graph.source(`${name} cotangent ${i}`, shape));
  const gradients = differentiate(
    graph,
    new Map(outputs.map((output, i) => [output, cotangents[i]])),
    linearCombination,
  );
  return { inputs: test.usesPrevious ? [u, previous] : [u], previous, outputs, cotangents, gradients };
}

async function check(name: string, test: BlockCase, vector: Float64Array): Promise<void> {
  const graph = new Graph({ training: true });
  const { inputs, previous, outputs, cotangents, gradients } = record(graph, "block", test);
  const generator = new Generator(test.seed);
  const sources = new Map<Tensor, ArrayLike<number>>();
  if (!test.usesPrevious) sources.set(previous, new Float32Array(elementCount(previous.shape)).fill(100));
  for (const input of inputs) sources.set(input, generator.image(input.shape));
  const variables = [...graph.parameters, ...graph.states].sort(byName);
  const values = new Map(variables.map(({ tensor }) => [tensor.name, generator.variable(tensor)]));
  for (const cotangent of cotangents) sources.set(cotangent, generator.image(cotangent.shape));

  const images = [...outputs, ...inputs.map((input) => gradients.get(input)!)];
  const results = await runGraph(graph, { sources, parameters: values, states: values, keep: images });
  const expected: Expected[] = [
    ...images.map((tensor) => ({
      what: tensor.name,
      shape: tensor.shape,
      isImage: true,
      actual: ({ values }: typeof results) => values.get(tensor),
    })),
    ...graph.parameters.toSorted(byName).map(({ tensor: { name, shape } }) => ({
      what: `the gradient of ${name}`,
      shape,
      isImage: false,
      actual: ({ gradients }: typeof results) => gradients.get(name),
    })),
    ...graph.states.toSorted(byName).map(({ tensor: { name, shape } }) => ({
      what: name,
      shape,
      isImage: false,
      actual: ({ states }: typeof results) => states.get(name),
    })),
  ];
  let start = 0;
  for (const { what, shape, isImage, actual } of expected) {
    const part = vector.subarray(start, start += elementCount(shape));
    const reference = isImage ? nhwcOf(shape, part) : part;
    const result = actual(results) ?? [];
    assertEquals(result.length, reference.length);
    if (Math.hypot(...reference) > VANISHING) {
      assertClose(result, reference, { tolerance: 1e-4, what: `${name}: ${what}` });
    } else {
      assert(Math.hypot(...result) < 1e-4, `${name}: ${what} is ${result}, not 0`);
    }
  }
  assertEquals(start, vector.length);
}

const golden = await loadGolden("blocks");
const cases = Object.entries(golden.about.cases as Record<string, BlockCase>);
const kindOf = (name: string) => name.split(" ")[1];

for (const kind of new Set(cases.map(([name]) => kindOf(name)))) {
  Deno.test(`Scheme.step() has PyTorch's results and gradients over one block: ${kind}`, async () => {
    for (const [name, test] of cases) if (kindOf(name) === kind) await check(name, test, golden.data(name));
  });
}

Deno.test("The fixtures of blocks have every scheme with every kind of block", () => {
  const kinds = new Set(cases.map(([name]) => kindOf(name)));
  assertEquals(kinds.size, 6);
  for (const scheme of schemeNames) {
    for (const kind of kinds) {
      const refused = scheme === "reversible" && kind.endsWith("post");
      assertEquals(cases.some(([name]) => name === `${scheme} ${kind}`), !refused, `${scheme} ${kind}`);
    }
  }
});
