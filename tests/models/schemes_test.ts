/** Schemes as numerical methods, in double precision: their recorded steps computed on the CPU. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { Graph, type Operation, type Tensor } from "../../src/gpu/mod.ts";
import type { ResidualBlock, Term } from "../../src/models/blocks/block.ts";
import { makeScheme, type SchemeName, type SchemeOptions } from "../../src/models/schemes/registry.ts";
import { ModelError } from "../../src/models/mod.ts";
import type { SchemeState } from "../../src/models/schemes/scheme.ts";
import { evaluate, LinearMap } from "../support/cpu_graph.ts";

/** Of u: two halves of four channels, for the reversible scheme. */
const CHANNELS = 8;
const options: SchemeOptions = {
  transition: "plain",
  perChannelCoefficients: false,
  columns: 2,
};

/** Rotations of pairs of channels, damped a little; each half of the channels is driven by the other. */
const A: readonly (readonly number[])[] = Array.from({ length: CHANNELS }, (_, row) => {
  const rate = 0.5 + row % 4 / 4;
  return Array.from({ length: CHANNELS }, (_, column) => {
    if (column === (row + 4) % CHANNELS) return row < 4 ? rate : -rate;
    return 0;
  });
});
const START = [1, -0.5, 0.25, 0.75, -1, 0.5, 1.5, 0.2];
const END_TIME = 1;

/** exp(t A) u by its series. */
function exact(time: number): Float64Array {
  let term = Float64Array.from(START);
  const sum = Float64Array.from(START);
  for (let n = 1; n < 30; n++) {
    term = product(A, term).map((value) => value * time / n);
    term.forEach((value, i) => sum[i] += value);
  }
  return sum;
}

function product(matrix: readonly (readonly number[])[], vector: Float64Array): Float64Array {
  return Float64Array.from(matrix, (row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));
}

/** A block whose f is h scale A, and whose other terms are given by name. */
function linearBlock(
  graph: Graph,
  name: string,
  terms: (term: string) => readonly (readonly number[])[],
): ResidualBlock {
  const map = (term: string): Term => (u) => LinearMap.record(graph, u, terms(term));
  return {
    name,
    shape: { inputChannels: CHANNELS, outputChannels: CHANNELS, stride: 1 },
    f: map("f"),
    term: (suffix) => map(suffix),
  };
}

function scaled(matrix: readonly (readonly number[])[], factor: number): number[][] {
  return matrix.map((row) => row.map((value) => value * factor));
}

/** The error at END_TIME of `steps` steps of a scheme whose terms are those of step size END_TIME / steps. */
function errorOf(
  scheme: SchemeName,
  { steps, terms }: { steps: number; terms: (h: number) => (term: string) => readonly (readonly number[])[] },
): number {
  const graph = new Graph({ training: false });
  const u0 = graph.source("u0", [1, 1, 1, CHANNELS]);
  const method = makeScheme(scheme, options);
  let state = method.init(u0);
  for (let n = 0; n < steps; n++) {
    state = method.step(graph, linearBlock(graph, `block${n}`, terms(END_TIME / steps)), state);
  }
  const solution = method.solution?.(graph, state) ?? state.u;
  const value = evaluate(graph, { sources: new Map([[u0, START]]), parameters: () => 0.1 }).get(solution) ?? [];
  return distance(value, scheme === "leapfrog" ? oscillation(END_TIME) : exact(END_TIME));
}

/** u'' = -u from rest. */
function oscillation(time: number): Float64Array {
  return Float64Array.from(START, (value) => value * Math.cos(time));
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assertEquals(a.length, b.length);
  return Math.hypot(...Array.from(a, (value, i) => value - b[i]));
}

/** The slope of log(error) over log(h). */
function measuredOrder(error: (steps: number) => number): number {
  const points = [32, 64, 128, 256].map((steps) => [Math.log(END_TIME / steps), Math.log(error(steps))] as const);
  const mean = (axis: 0 | 1) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  return points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0) /
    points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}

const identity = Array.from({ length: CHANNELS }, (_, row) => START.map((_, column) => row === column ? 1 : 0));
const half = A.slice(0, 4).map((row) => row.slice(4));
const sum = (a: readonly (readonly number[])[], b: readonly (readonly number[])[]) =>
  a.map((row, i) => row.map((value, j) => value + b[i][j]));

/** What a scheme's docstring says, and its terms for steps of size h. */
const orders: readonly (readonly [SchemeName, number, (h: number) => (term: string) => number[][]])[] = [
  ["forward_euler", 1, (h) => () => scaled(A, h)],
  // Every k is 0.1, so a step is one of 1.1 h; its first, of forward Euler, is as long.
  ["linear_multistep", 1, (h) => () => scaled(A, 1.1 * h)],
  ["midpoint", 2, (h) => () => scaled(A, h)],
  ["leapfrog", 2, (h) => () => scaled(identity, -h * h)],
  ["rk4", 4, (h) => () => scaled(A, h)],
  ["momentum", 1, (h) => () => scaled(A, h)],
  ["poly_2", 1, (h) => () => scaled(A, h)],
  ["poly_3", 1, (h) => () => scaled(A, h)],
  ["mpoly_2", 1, (h) => () => scaled(A, h)],
  ["two_way", 1, (h) => () => scaled(A, h / 2)],
  // Terms are steps of forward Euler; a block's deepest column makes two of them.
  ["fractal", 1, (h) => (term) => sum(identity, scaled(A, term.startsWith("column2") ? h : h / 2))],
  ["reversible", 1, (h) => (term) => scaled(half, term === "f" ? h : -h)],
];

for (const [scheme, order, terms] of orders) {
  Deno.test(`makeScheme() gives a scheme of order ${order}: ${scheme}`, () => {
    const measured = measuredOrder((steps) => errorOf(scheme, { steps, terms }));
    assert(Math.abs(measured - order) < 0.2, `The measured order is ${measured}`);
  });
}

/** One step from the same u_n and u_{n-1}. */
function stepFrom(scheme: SchemeName, { factor, k = 0 }: { factor: number; k?: number }): Float64Array {
  const graph = new Graph({ training: false });
  const [u, previous] = ["u", "previous"].map((name) => graph.source(name, [1, 1, 1, CHANNELS]));
  const state: SchemeState = { u, history: [previous] };
  const block = linearBlock(graph, "block", () => scaled(A, factor));
  const next = makeScheme(scheme, options).step(graph, block, state).u;
  const sources = new Map<Tensor, readonly number[]>([[u, START], [previous, START.map((value) => 0.7 * value + 0.1)]]);
  return evaluate(graph, { sources, parameters: () => k }).get(next) ?? new Float64Array();
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
  const block = linearBlock(graph, "block", (term) => scaled(half, term === "f" ? 0.3 : -0.4));
  const { u: nextX, history: [nextY] } = makeScheme("reversible", options).step(graph, block, { u: x, history: [y] });
  const values = evaluate(graph, {
    sources: new Map([[x, START.slice(0, 4)], [y, START.slice(4)]]),
    parameters: () => 0,
  });
  const [endX, endY] = [values.get(nextX)!, values.get(nextY)!];
  const startY = endY.map((value, i) => value - product(scaled(half, -0.4), endX)[i]);
  const startX = endX.map((value, i) => value - product(scaled(half, 0.3), startY)[i]);
  startY.forEach((value, i) => assertAlmostEquals(value, START[4 + i], 1e-12));
  startX.forEach((value, i) => assertAlmostEquals(value, START[i], 1e-12));
});

Deno.test("reversible's step says which channels cannot be split", () => {
  const graph = new Graph({ training: false });
  const u = graph.source("u", [1, 1, 1, 12]);
  const block = linearBlock(graph, "stage1.block0", () => A as number[][]);
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
      ...linearBlock(graph, "block", () => A as number[][]),
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

Deno.test("evaluate() says which operation it cannot compute", () => {
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
  assertThrows(() => evaluate(graph, { sources: new Map(), parameters: () => 0 }), Error, "mystery");
});
