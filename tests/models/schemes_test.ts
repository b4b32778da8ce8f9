/** Schemes as numerical methods, in double precision: their recorded steps computed on the CPU. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { Graph, type Operation, type Tensor } from "../../src/gpu/mod.ts";
import { evaluateLinearGraph, LinearMap } from "../../src/models/analysis/linear_graph.ts";
import { measureOrder } from "../../src/models/analysis/order.ts";
import { A, CHANNELS, HALF, linearBlock, product, scaled, START } from "../../src/models/analysis/test_problem.ts";
import type { ResidualBlock } from "../../src/models/blocks/block.ts";
import { makeScheme, type SchemeName, schemeNames, type SchemeOptions } from "../../src/models/schemes/registry.ts";
import { ModelError } from "../../src/models/mod.ts";
import type { SchemeState } from "../../src/models/schemes/scheme.ts";

const options: SchemeOptions = {
  transition: "plain",
  perChannelCoefficients: false,
  columns: 2,
};

for (const scheme of schemeNames) {
  Deno.test(`makeScheme() gives a scheme of the order that it states: ${scheme}`, () => {
    const { order } = makeScheme(scheme, options);
    const measured = measureOrder({ scheme });
    assert(Math.abs(measured - order) < 0.2, `The measured order is ${measured}, not ${order}`);
  });
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assertEquals(a.length, b.length);
  return Math.hypot(...Array.from(a, (value, i) => value - b[i]));
}

/** One step from the same u_n and u_{n-1}. */
function stepFrom(scheme: SchemeName, { factor, k = 0 }: { factor: number; k?: number }): Float64Array {
  const graph = new Graph({ training: false });
  const [u, previous] = ["u", "previous"].map((name) => graph.source(name, [1, 1, 1, CHANNELS]));
  const state: SchemeState = { u, history: [previous] };
  const block = linearBlock(graph, "block", () => scaled(A, factor));
  const next = makeScheme(scheme, options).step(graph, block, state).u;
  const sources = new Map<Tensor, readonly number[]>([[u, START], [previous, START.map((value) => 0.7 * value + 0.1)]]);
  return evaluateLinearGraph(graph, { sources, k }).get(next) ?? new Float64Array();
}

const identities: readonly (readonly [string, SchemeName, { factor: number; k: number }])[] = [
  ["k = 0 is forward Euler", "forward_euler", { factor: 0.3, k: 0 }],
  ["k = 1 with 2 f is the midpoint rule", "midpoint", { factor: 0.6, k: 1 }],
  ["k = -1 is leapfrog", "leapfrog", { factor: 0.3, k: -1 }],
  ["k = -0.9 with 0.1 f is momentum", "momentum", { factor: 0.03, k: -0.9 }],
];

for (const [what, scheme, { factor, k }] of identities) {
  Deno.test(`linearMultistep() with ${what}`, () => {
    const expected = stepFrom(scheme, { factor: 0.3 });
    const multistep = stepFrom("linear_multistep", { factor, k });
    assert(distance(multistep, expected) < 1e-6, `${[...multistep]} is not ${[...expected]}`);
    assert(distance(stepFrom("linear_multistep", { factor, k: k + 0.1 }), expected) > 1e-3);
  });
}

Deno.test("reversible's step can be undone from its result", () => {
  const graph = new Graph({ training: false });
  const [x, y] = ["x", "y"].map((name) => graph.source(name, [1, 1, 1, 4]));
  const block = linearBlock(graph, "block", (term) => scaled(HALF, term === "f" ? 0.3 : -0.4));
  const { u: nextX, history: [nextY] } = makeScheme("reversible", options).step(graph, block, { u: x, history: [y] });
  const values = evaluateLinearGraph(graph, {
    sources: new Map([[x, START.slice(0, 4)], [y, START.slice(4)]]),
    k: 0,
  });
  const [endX, endY] = [values.get(nextX)!, values.get(nextY)!];
  const startY = endY.map((value, i) => value - product(scaled(HALF, -0.4), endX)[i]);
  const startX = endX.map((value, i) => value - product(scaled(HALF, 0.3), startY)[i]);
  startY.forEach((value, i) => assertAlmostEquals(value, START[4 + i], 1e-12));
  startX.forEach((value, i) => assertAlmostEquals(value, START[i], 1e-12));
});

Deno.test("reversible's step says which channels cannot be split", () => {
  const graph = new Graph({ training: false });
  const u = graph.source("u", [1, 1, 1, 12]);
  const block = linearBlock(graph, "stage1.block0", () => A);
  const scheme = makeScheme("reversible", options);
  const error = assertThrows(() => scheme.step(graph, block, scheme.init(u)), ModelError);
  assertEquals(
    error.message,
    'Cannot step "stage1.block0" reversibly: its 12 channels must be a multiple of 8, to be split in halves',
  );
});

Deno.test("fractal() of C columns takes 2^C - 1 terms a block, the first of each path with the change of shape", () => {
  for (const columns of [1, 2, 3, 4]) {
    const graph = new Graph({ training: false });
    const shapes = new Map<string, number>();
    const block: ResidualBlock = {
      ...linearBlock(graph, "block", () => A),
      shape: { inputChannels: CHANNELS, outputChannels: CHANNELS, stride: 2 },
      term(name, { stride }) {
        assert(!shapes.has(name));
        shapes.set(name, stride);
        return (u) => LinearMap.record(graph, u, A);
      },
    };
    const scheme = makeScheme("fractal", { ...options, columns });
    scheme.step(graph, block, scheme.init(graph.source("u", [1, 1, 1, CHANNELS])));
    assertEquals(shapes.size, 2 ** columns - 1);
    const changing = [...shapes].filter(([, stride]) => stride === 2).map(([name]) => name).sort();
    assertEquals(changing, Array.from({ length: columns }, (_, c) => `column${c + 1}.term0`));
  }
});

Deno.test("evaluateLinearGraph() says which operation it cannot compute", () => {
  const graph = new Graph({ training: false });
  const operation: Operation = {
    kind: "mystery",
    description: "",
    inputs: [],
    parameters: [],
    outputs: [],
    lower: () => [],
  };
  graph.record(operation);
  assertThrows(() => evaluateLinearGraph(graph, { sources: new Map(), k: 0 }), Error, "mystery");
});
